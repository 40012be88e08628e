package images

import "path/filepath"

// AddLayout reads which images a directory in the OCI layout holds, by the names in its
// index.json. Whether they are whole is what [Checker.CheckLayout] tells.
func (l *List) AddLayout(at Location) {
	from, err := OpenLayout(at.Layout())
	if err != nil {
		l.AddProblem(err)
		return
	}
	images, problems := from.References()
	for _, image := range images {
		l.Add(image, Place{File: filepath.Join(at.Layout(), IndexFile), Use: UseListed})
	}
	for _, problem := range problems {
		l.AddProblem(problem)
	}
	if err := from.Close(); err != nil {
		l.AddProblem(err)
	}
}

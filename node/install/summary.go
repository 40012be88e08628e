package install

// Summary is a plan and what came of it, for output as JSON. It holds no secret.
type Summary struct {
	Sections []SectionSummary `json:"sections"`
	Done     []string         `json:"done"`
	Error    string           `json:"error,omitempty"`
}

// SectionSummary is a [Section] for output.
type SectionSummary struct {
	Name    string   `json:"name"`
	Found   []string `json:"found,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Changes []string `json:"changes,omitempty"`
	Restart string   `json:"restart,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Summarize returns the plan p, the steps that were done and the error that ended them.
func (p Plan) Summarize(done []string, err error) Summary {
	s := Summary{Done: append([]string{}, done...)}
	for _, section := range p.Sections {
		one := SectionSummary{Name: section.Name, Found: section.Found, Notes: section.Notes}
		for _, c := range section.Changes {
			one.Changes = append(one.Changes, c.What+" "+c.Path)
		}
		if section.Restart != nil {
			one.Restart = section.Restart.Unit
		}
		if section.Err != nil {
			one.Error = section.Err.Error()
		}
		s.Sections = append(s.Sections, one)
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

package status

// Tidy makes a snapshot as safe to show as [Handler] does.
func Tidy(s Snapshot) Snapshot { return newCleaner().tidy(s) }

// Metrics lists the names of Berth's own metrics.
func Metrics() []string {
	var names []string
	for _, f := range families() {
		names = append(names, "berth_"+f.name)
	}
	return names
}

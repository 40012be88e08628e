// Package status shows an operator what the agent does: one [Snapshot], told
// as a page, as metrics, as JSON, as the two answers that Kubernetes' probes
// want, and as the text of "berth status".
//
// It promises that all of these say the same, because each is made of one
// snapshot and of [Alarms], which derives from it what needs attention; that
// whatever stands in a snapshot, even text that a hostile registry chose, is
// shown as text and nothing else; and that nothing answers but GET and HEAD.
//
// It never looks at the node, keeps no state and changes nothing. A snapshot
// has no field for a secret. Fields of free text, into which an error of
// another program may bring one, are Config.Error, Config.Warnings,
// Converge.Error, Converge.Watching, Endpoint.Error, Endpoint.Note,
// Endpoint.LeftOut, Token.Error, DockerHub.Error, FileNote.Reason, Event.Message,
// Readiness.Reasons, Containerd.Why, Containerd.Remedy and Notices. Whoever fills them leaves secrets out; as a
// second net, passwords and queries in URLs and Authorization values are
// masked here in every string before anything is shown.
//
// Start reading at [Snapshot], then [Alarms], then [Handler].
package status

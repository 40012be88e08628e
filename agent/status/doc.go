// Package status shows the state of the agent: one [Snapshot], as a page, as metrics, as JSON, as
// the two answers to Kubernetes' probes, and as the text of "berth status".
//
// It promises that all forms agree, because each is made from one snapshot and from [Alarms], which
// derives the alarms from it; that every string of a snapshot, even one that a hostile registry
// chose, is shown as text and never as markup or code; and that only GET and HEAD get an answer.
//
// It never reads the node, keeps no state and changes nothing. A snapshot has no field for a
// secret. These fields hold free text, in which an error of another program may bring a secret:
// Config.Error, Config.Warnings, Converge.Error, Converge.Watching, Endpoint.Error, Endpoint.Note,
// Endpoint.LeftOut, Token.Error, DockerHub.Error, FileNote.Reason, Event.Message,
// Readiness.Reasons, Containerd.Why, Containerd.Remedy, Docker.Why, ConfigJSON.Why and Notices. The
// caller must keep secrets out of them. As a second protection, this package masks user info and
// queries in URLs and Authorization values in every string that it shows.
//
// Start reading at [Snapshot], then [Alarms], then [Handler].
package status

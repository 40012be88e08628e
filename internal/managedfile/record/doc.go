// Package record keeps what Berth wrote on a node and what was there before: the record
// (state.json), the marker line in each file whose format has comments, and copies of originals and
// edits (saved/).
//
// [State] is the record. [Archive] is the open state directory: it writes the record and keeps the
// copies, each with a description beside it, so that an original can be restored even if the record
// is lost ([RecoverOriginals]). The format is read by earlier and later versions on the same node.
//
// Package managedfile decides what is recorded and kept. Start reading at [State].
package record

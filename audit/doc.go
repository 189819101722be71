// Package audit keeps the record: what every caller asked, what policy said,
// what came back, so that a session can be read again.
//
// One record, from the call to the disk:
//
//	Put          encode.go     on the caller's goroutine: one line of JSON (format.go), a place in the queue
//	  batch      batch.go      what arrives during a commit waits together for the next
//	  committer  committer.go  one goroutine: links the batch to the chain (chain.go), Sink.Append, tells all who wait
//	Commit.Wait                nil: the record survives a power failure
//
// Every writer has a chain of its own, in which each entry's hash covers the one
// before it, so that nothing can be changed, taken out or put in unseen
// (verify.go). Names of people are in a row beside the chain that can be erased.
// What is too old goes as a whole prefix, and a tombstone in the chain says so.
//
// audit knows no SQL and no raw argument: values come in as redact.Clean.
package audit

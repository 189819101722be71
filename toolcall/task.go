package toolcall

import "time"

// Task is what is remembered of a call that its upstream goes on with after the
// first answer (MCP 2025-11-25, Tasks; extension io.modelcontextprotocol/tasks of
// 2026-07-28). It holds nothing in clear that a caller sent or an upstream said.
type Task struct {
	Call     ID        // the call that made it; two tasks never have the same
	Session  ID        // of that call
	Name     Digest    // keyed; of the upstream and the id that the upstream gave the task
	Owner    Digest    // keyed; of the caller
	Upstream string    //
	Tool     string    //
	Handle   string    // the task's id as its owner has it: sealed
	Args     string    // what policy judged of the call: sealed
	Asked    string    // under which keys it asked its owner for something last: sealed; "": it did not
	Redact   []string  // redaction profiles that applied to the call
	Policy   string    // digest of the policy that allowed it
	Began    time.Time //
	Expires  time.Time // then it exists for nobody any more
	Ended    bool      // how it ended is in the record
}

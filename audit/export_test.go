package audit

// Refused reports whether a record never got into the queue.
func Refused(c *Commit) bool { return c.batch == nil }

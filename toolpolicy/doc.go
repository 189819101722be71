// Package toolpolicy turns the text of a policy into an immutable value that
// answers, for every call, whether it may run, must be asked about, or is
// denied; which rule says so; and what must be redacted.
//
//	version: 1
//	roles:
//	  support:
//	    groups: [support]
//	    redact: [pii]
//	    allow:
//	      - crm/get_customer
//	      - tool: payments/refund
//	        args: {amount: {above: 0, max: 500}, currency: {in: [EUR, USD]}}
//	    approve:
//	      - {tool: payments/refund, args: {amount: {above: 500}}, by: [finance]}
//	  everyone:
//	    deny:
//	      - {tool: "*/delete_*", because: Deletions go through change management.}
//	redactions:
//	  pii: {paths: ["**.ssn"]}
//
// The language is described in docs/policy.md, with an example of each
// construct that the tests run. How a decision comes about:
//
//	files ── document ──> compile ──> Policy ── index ──> rules about the call
//	         positions,   all         immutable           │ of the caller's roles
//	         strictness   mistakes                        ▼
//	                                   selector, then each matcher: true, false, unknown
//	                                                      ▼
//	                              deny > approve > allow > nothing: the stricter answer
//	                              of all that the unknowns could give
//
// # True, false, unknown
//
// What cannot be judged is unknown: a value of another type, a path or URI with
// more than one reading, a number beyond comparison, an argument given under a
// name that differs only by case. An argument that is absent has its schema's
// default; without one the condition is false, and unknown below a "not". An
// argument that the tool does not declare makes rules unknown that name
// arguments, but never a deny.
//
// Conditions are a tree (tree.go) over one value; a path that names many values,
// and each and any, gather what it comes to for all of them (quantify.go).
//
// An unknown deny denies. An unknown approve asks where the call would else be
// allowed, and gives nothing where it would else be denied. An unknown allow
// allows nothing.
//
// A nil Policy denies everything, shows nothing and withholds every result.
//
// # Limits
//
// A Policy is pure: its decisions name the limits that a call takes of, and a
// [Meter] counts, of all of them or of none. It is told the time, and hands what
// it counted to whoever keeps it.
//
// # Where to read
//
// The first word of a file's name says to what it belongs (TestDocNamesEveryFile):
//
//	document, mistakes      YAML with positions; all mistakes at once
//	compile, compile_*      from the text to a Policy, one family of keys a file
//	policy, selector        the compiled form
//	engine                  the policy in force
//	evaluate                the decision; begin here
//	find, tree, quantify    from a path to one value or many, and the conditions on it
//	match, match_*          the matchers, one family a file; outcomes and their words in match.go
//	uri, host, private      what they read: URIs, host names, addresses that are not public
//	glob, wild              patterns
//	cel, cel_*              "if": compiled in cel_check.go, evaluated in cel_run.go
//	visible, listkey        what lists show, and when that changes
//	narrow*                 the limits of policy in a tool's own schema
//	miss, verdicts          what a denial tells its caller, and what the record keeps
//	redactions              which profiles apply
//	limits, meter*, amount  limits of a decision, and the Meter that counts
//	explain, access, diff   why a call is decided so; what anybody may do; what changed
//	lint*, cover            what is most likely a mistake; what tests do not try
//	format*, schema         the layout of the text; a JSON Schema for editors
//	catalogue, calls        recorded definitions and calls
//	test*                   a policy's own tests
package toolpolicy

// Package toolcall is the vocabulary of mcpguard: a call, its caller, the
// decision about it, and the proof that its bytes can be read in one way only.
//
// It knows neither HTTP nor SQL, neither files nor clocks, nor how a policy is
// written. Every other room speaks in these words.
//
// The proof is the type [JSON]. Of a foreign text only [Parse] makes one, after a
// scan that refuses every text that two parsers could read differently: duplicate
// member names, broken UTF-8, lone surrogates, trailing data. From there on a
// sub-value, a [Splice] and a canonical form need no second look, so what was
// judged is what is digested, recorded and forwarded. What parsers disagree on is
// collected in testdata/ambiguous.
//
// Types that can hold a caller's data do not print: fmt, slog and encoding/json
// see a size, never the content (print.go says exactly what holds). Text is the
// one explicit door. For the same reason a JSON does not compare with ==; Equal
// compares by meaning.
package toolcall

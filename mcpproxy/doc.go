// Package mcpproxy relays the Model Context Protocol between agents and
// upstream servers, and lets nothing pass that was not judged and recorded.
//
// It works on bytes. A message is scanned once ([toolcall.Parse]); where policy
// changes nothing the same bytes go on. It names what it needs of the other
// rooms as small interfaces (seams.go) and knows neither where a record is kept
// nor how a policy is written.
//
// One client request, from top to bottom:
//
//	http.go     ServeHTTP    Host, Origin, route, headers; Authenticate; body read whole
//	era.go      eraOf        legacy (sessions) or modern (2026-07-28, stateless)
//	frame.go    readFrame    strict envelope: request, notification or response
//	session.go  find         the session that the handle names, if it is the caller's
//	batch.go    batch        2025-03-26 alone: message by message
//	http.go     serve        one message of a session, however it came
//	methods.go  dispatch     one row per message (methodtable.go); others need a policy rule
//	  initialize.go            legacy handshake: a session is minted and recorded
//	  lists.go                 filtered lists, from the catalogue (catalog.go) or page by page
//	    pins.go  judge         what nobody accepted is not in them (pinjudge.go; pinsight.go says what is looked at)
//	  call.go   HandleCall     everything that policy judges:
//	    stages.go              restore -> find -> decide -> limit -> hold -> task: the first refusal ends the walk
//	    record.go begin        intent durable before anything is forwarded (strict)
//	    leg.go    send         relay_http.go; mux_leg.go for processes (relay_stdio.go) and HTTP+SSE (relay_sse.go)
//	    upstream_stream.go     an upstream that hung up is asked for the rest
//	    pump.go                messages of the answer, one by one:
//	      notification         redacted, filtered
//	      server request       a call of its own: judged, recorded, shown to the client
//	      response             settle.go: redacted, outcome durable (strict), then the answer
//
// Over stdio there is one way in as well: stdio.go makes every line such a request.
//
// What a legacy client is told on an event stream is kept for a while, under ids
// of mcpguard's own (reply.go, resume.go): it may come back for it (http_get.go).
//
// A policy that comes into force, or a definition that is accepted, is told to those
// who listen and whose lists it changes (relist.go).
//
// Recording and forwarding are not stages: law must not hang on the order of a
// list.
package mcpproxy

package mcpproxy

import "mcpguard/toolcall"

// listenMethod opens a stream that may be silent for as long as it likes.
const listenMethod = "subscriptions/listen"

// waits reports whether an answer may take as long as the client waits for it:
// that of listenMethod, and of tasks/result, which comes when the task has ended
// (MCP 2025-11-25, Tasks, "Retrieving Task Results"). Nothing runs on for it at the
// upstream when the client has gone.
func waits(method string) bool { return method == listenMethod || method == "tasks/result" }

// tasksExtension is the extension that has tasks in 2026-07-28; before, in
// 2025-11-25 alone, they belonged to the protocol.
const tasksExtension = "io.modelcontextprotocol/tasks"

// table lists every message of the five revisions of MCP and of the tasks
// extension, in both directions: the unions ClientRequest, ClientNotification,
// ServerRequest and ServerNotification of each schema.ts. What is not here is
// refused, unless a method rule allows it by name.
func table() []method {
	return []method{
		// The session.
		// initialize has no session yet, and is served before there is a table to
		// look at (initialize.go); what comes here came where it has no place.
		{name: "initialize", form: request, from: fromClient, in: inLegacy, sees: free, record: asSession,
			serve: (*Proxy).misplaced, result: established},
		{name: "notifications/initialized", form: notification, from: fromClient, in: inLegacy, sees: free, record: asEvent,
			serve: (*Proxy).relayNotice},
		{name: "server/discover", form: request, from: fromClient, in: in20260728, sees: free, record: asEvent,
			serve: (*Proxy).pass, result: discovered},
		{name: "ping", form: request, from: fromClient, in: inLegacy, sees: free, record: asCall, serve: (*Proxy).pass},
		{name: "ping", form: request, from: fromServer, in: inLegacy, sees: free},

		// Tools.
		{name: "tools/list", form: request, from: fromClient, in: inAll, sees: byAnswer, kind: toolcall.Tool, record: asList,
			serve: restoring((*Proxy).toolsList)},
		{name: "tools/call", form: request, from: fromClient, in: inAll, sees: byTarget, kind: toolcall.Tool, target: "name", record: asCall,
			asks: true, serve: (*Proxy).HandleCall},
		{name: "notifications/tools/list_changed", form: notification, from: fromServer, in: inAll, sees: free, hear: toolsChanged},

		// Prompts.
		{name: "prompts/list", form: request, from: fromClient, in: inAll, sees: byAnswer, kind: toolcall.Prompt, record: asList,
			serve: restoring((*Proxy).pass), result: listResult},
		{name: "prompts/get", form: request, from: fromClient, in: inAll, sees: byTarget, kind: toolcall.Prompt, target: "name", record: asCall,
			asks: true, serve: (*Proxy).HandleCall},
		{name: "notifications/prompts/list_changed", form: notification, from: fromServer, in: inAll, sees: free},

		// Resources.
		{name: "resources/list", form: request, from: fromClient, in: inAll, sees: byAnswer, kind: toolcall.Resource, record: asList,
			serve: restoring((*Proxy).pass), result: listResult},
		{name: "resources/templates/list", form: request, from: fromClient, in: inAll, sees: byAnswer, kind: toolcall.Resource, record: asList,
			serve: restoring((*Proxy).pass), result: listResult},
		{name: "resources/read", form: request, from: fromClient, in: inAll, sees: byTarget, kind: toolcall.Resource, target: "uri", record: asCall,
			asks: true, serve: (*Proxy).HandleCall},
		{name: "resources/subscribe", form: request, from: fromClient, in: inLegacy, sees: byTarget, kind: toolcall.Resource, target: "uri", record: asCall,
			serve: (*Proxy).HandleCall},
		{name: "resources/unsubscribe", form: request, from: fromClient, in: inLegacy, sees: byTarget, kind: toolcall.Resource, target: "uri", record: asCall,
			serve: (*Proxy).HandleCall},
		{name: listenMethod, form: request, from: fromClient, in: in20260728, sees: byTarget, kind: toolcall.Resource, record: asCall,
			serve: (*Proxy).subscribe},
		{name: "notifications/subscriptions/acknowledged", form: notification, from: fromServer, in: in20260728, sees: free,
			tell: (*Proxy).acknowledged},
		{name: "notifications/resources/list_changed", form: notification, from: fromServer, in: inAll, sees: free},
		{name: "notifications/resources/updated", form: notification, from: fromServer, in: inAll, sees: byTarget, kind: toolcall.Resource, target: "uri",
			hear: resourceUpdated},

		// Completions: of prompts and of resource templates, by their ref.
		{name: "completion/complete", form: request, from: fromClient, in: inAll, sees: byTarget, record: asCall,
			serve: (*Proxy).complete, result: completions},

		// What accompanies requests.
		{name: "logging/setLevel", form: request, from: fromClient, in: inLegacy, sees: free, record: asCall, serve: (*Proxy).pass},
		{name: "notifications/message", form: notification, from: fromServer, in: inAll, sees: free},
		{name: "notifications/progress", form: notification, from: fromServer, in: inAll, sees: free},
		{name: "notifications/progress", form: notification, from: fromClient, in: inLegacy, sees: free, record: asEvent, serve: (*Proxy).relayNotice},
		{name: "notifications/cancelled", form: notification, from: fromServer, in: inAll, sees: free},
		{name: "notifications/cancelled", form: notification, from: fromClient, in: inAll, sees: free, record: asEvent, serve: (*Proxy).cancelled},

		// What a server asks of the client.
		{name: "sampling/createMessage", form: request, from: fromServer, in: inLegacy, sees: byAsk, ask: "sampling", record: asCall},
		{name: "sampling/createMessage", form: request, from: asInput, in: in20260728, sees: byAsk, ask: "sampling", record: asEvent},
		{name: "elicitation/create", form: request, from: fromServer, in: from0618, sees: byAsk, ask: "elicitation", record: asCall},
		{name: "elicitation/create", form: request, from: asInput, in: in20260728, sees: byAsk, ask: "elicitation", record: asEvent},
		{name: "notifications/elicitation/complete", form: notification, from: fromServer, in: in20251125, sees: free},
		{name: "roots/list", form: request, from: fromServer, in: inLegacy, sees: byAsk, ask: "roots", record: asCall},
		{name: "roots/list", form: request, from: asInput, in: in20260728, sees: byAsk, ask: "roots", record: asEvent},
		{name: "notifications/roots/list_changed", form: notification, from: fromClient, in: inLegacy, sees: free, record: asEvent, serve: (*Proxy).relayNotice},

		// Tasks of a server. A client's own, which a server would ask for with its
		// questions, are not followed: their rows refuse.
		{name: "tasks/get", form: request, from: fromClient, in: in20251125 | in20260728, ext: tasksExtension, sees: byTask, target: "taskId", record: asCall,
			serve: (*Proxy).followTask},
		{name: "tasks/result", form: request, from: fromClient, in: in20251125, sees: byTask, target: "taskId", record: asCall,
			serve: (*Proxy).followTask},
		{name: "tasks/list", form: request, from: fromClient, in: in20251125, sees: byAnswer, kind: toolcall.Tool, record: asList,
			serve: restoring((*Proxy).pass), result: tasksListed},
		{name: "tasks/cancel", form: request, from: fromClient, in: in20251125 | in20260728, ext: tasksExtension, sees: byTask, target: "taskId", record: asCall,
			serve: (*Proxy).followTask},
		{name: "tasks/update", form: request, from: fromClient, in: in20260728, ext: tasksExtension, sees: byTask, target: "taskId", record: asCall,
			serve: (*Proxy).followTask},
		{name: "notifications/tasks/status", form: notification, from: fromServer, in: in20251125, sees: byTask, target: "taskId",
			tell: (*Proxy).noticeOfTask},
		{name: "notifications/tasks", form: notification, from: fromServer, in: in20260728, ext: tasksExtension, sees: byTask, target: "taskId",
			tell: (*Proxy).noticeOfTask},
		{name: "tasks/get", form: request, from: fromServer, in: in20251125},
		{name: "tasks/result", form: request, from: fromServer, in: in20251125},
		{name: "tasks/list", form: request, from: fromServer, in: in20251125},
		{name: "tasks/cancel", form: request, from: fromServer, in: in20251125},
		{name: "notifications/tasks/status", form: notification, from: fromClient, in: in20251125},
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// acceptPath is where the running server accepts definitions.
const acceptPath = "/api/v1/tools/accept"

// maxAcceptBody bounds the names of what is accepted, in bytes.
const maxAcceptBody = 1 << 20

// acceptRequest is the body of an acceptance: definitions, or all that wait.
type acceptRequest struct {
	All     bool         `json:"all,omitempty"`
	Targets []targetJSON `json:"targets,omitempty"`
}

type targetJSON struct {
	Upstream string `json:"upstream"`
	Kind     string `json:"kind,omitempty"`
	Name     string `json:"name"`
	Digest   string `json:"digest,omitempty"`
}

// acceptRefusal is why nothing was accepted.
type acceptRefusal struct {
	Error string `json:"error"`
	Try   string `json:"try,omitempty"`
}

// acceptTools serves the acceptance of definitions.
func (a *admin) acceptTools(w http.ResponseWriter, r *http.Request, v visitor) {
	var wish acceptRequest
	if err := readJSON(w, r, maxAcceptBody, &wish); err != nil {
		adminError(w, http.StatusBadRequest, err.Error())
		return
	}
	if wish.All == (len(wish.Targets) > 0) {
		adminError(w, http.StatusBadRequest, "the body names targets, or says all, and one of them")
		return
	}
	var targets []mcpproxy.PinTarget
	for _, t := range wish.Targets {
		target, err := pinTarget(t.Upstream+"/"+t.Name, t.Kind, t.Digest)
		if err != nil {
			adminError(w, http.StatusBadRequest, err.Error())
			return
		}
		targets = append(targets, target)
	}
	accepted, err := a.guard.acceptTools(r.Context(), v.caller, targets)
	if err != nil {
		a.log.Warn("nothing was accepted", "asked by", v.caller.Person, "err", err)
		err = acceptFailure(err)
		status := http.StatusServiceUnavailable
		if exitCode(err) == exitUsage {
			status = http.StatusUnprocessableEntity
		}
		sendJSON(w, status, acceptRefusal{err.Error(), tryOf(err)})
		return
	}
	all := make([]pinJSON, len(accepted))
	for i := range accepted {
		all[i] = pinInJSON(&accepted[i])
	}
	sendJSON(w, http.StatusOK, all)
}

// acceptThrough asks the running server to accept; the error of one that is not
// there has the exit code exitUnreachable.
func acceptThrough(ctx context.Context, socket string, targets []mcpproxy.PinTarget) ([]pinJSON, error) {
	wish := acceptRequest{All: len(targets) == 0}
	for _, t := range targets {
		kind := ""
		if t.Kind != toolcall.NoPinKind {
			kind = t.Kind.String()
		}
		wish.Targets = append(wish.Targets, targetJSON{t.Upstream, kind, t.Name, t.Digest})
	}
	status, text, err := askControl(ctx, socket, acceptPath, wish)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		var why acceptRefusal
		if err := json.Unmarshal(text, &why); err != nil {
			return nil, fmt.Errorf("read what the server answers: %w", err)
		}
		code := exitFailure
		if status == http.StatusUnprocessableEntity || status == http.StatusBadRequest {
			code = exitUsage
		}
		return nil, fail(code, errors.New(why.Error), why.Try)
	}
	var accepted []pinJSON
	if err := json.Unmarshal(text, &accepted); err != nil {
		return nil, fmt.Errorf("read what the server answers: %w", err)
	}
	return accepted, nil
}

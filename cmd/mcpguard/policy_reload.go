package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/store"
)

func newPolicyReloadCommand(env *environment) *cobra.Command {
	var url string
	var wish reloadRequest
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let the running server read its policy again",
		Long: `Let the running server read its policy again, and wait until it is in force. A
policy with a mistake, one whose own tests fail, and one that lacks a file that
the policy in force has, change nothing. The server is the one that writes the
store, and it must run as the same user: the command speaks to its control socket.

Exit codes: 3 the policy is refused, 7 no server is running.`,
		Example: "  mcpguard policy reload\n  mcpguard policy reload --allow-removed -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := storeOf(env, url)
			if err != nil {
				return err
			}
			path, err := store.Path(url)
			if err != nil {
				return usageError(err)
			}
			return reloadPolicy(cmd.Context(), env, controlPath(path), wish)
		},
	}
	cmd.Flags().StringVar(&url, "store", "", "the store that the server writes, `sqlite://PATH` (default: that of the configuration)")
	cmd.Flags().BoolVar(&wish.AllowRemoved, "allow-removed", false, "files that the policy in force has may be gone")
	return cmd
}

// reloadPolicy asks for a reload and tells what came of it.
func reloadPolicy(ctx context.Context, env *environment, socket string, wish reloadRequest) error {
	status, text, err := askControl(ctx, socket, reloadPath, wish)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return reloadRefused(env, status, text)
	}
	var done loadedPolicy
	if err := json.Unmarshal(text, &done); err != nil {
		return fmt.Errorf("read what the server answers: %w", err)
	}
	if env.output != outputTable {
		return writeItem(env, done)
	}
	word := "in force"
	if !done.Changed {
		word = "unchanged"
	}
	_, err = fmt.Fprintf(env.stdout, "%s: %s, %s\n", printable(done.Policy), word, done.Digest)
	return err
}

// reloadRefused tells why the policy in force stays, as check and test tell it.
func reloadRefused(env *environment, status int, text []byte) error {
	var why reloadRefusal
	if err := json.Unmarshal(text, &why); err != nil {
		return fmt.Errorf("read what the server answers: %w", err)
	}
	if status != http.StatusUnprocessableEntity {
		return fail(exitFailure, fmt.Errorf("reload the policy: %s", why.Error), why.Try)
	}
	switch {
	case env.output != outputTable:
		if err := writeItem(env, why); err != nil {
			return err
		}
		return problemsFound()
	case len(why.Mistakes) > 0:
		return fail(exitProblems, why.mistakes(), why.Try)
	case len(why.Tests) > 0:
		if err := writeTests(env, why.Tests, len(why.Tests)); err != nil {
			return err
		}
		return fail(exitProblems, errors.New("reload the policy: its own tests fail, and the one in force stays"), why.Try)
	}
	return fail(exitProblems, fmt.Errorf("reload the policy: %s", why.Error), why.Try)
}

// controlTime is how long a command waits for the server.
const controlTime = time.Minute

// maxControlAnswer bounds what a command reads of an answer, in bytes.
const maxControlAnswer = 16 << 20

// askControl posts to the control socket. Its error says that there is no answer.
func askControl(ctx context.Context, socket, path string, body any) (status int, answer []byte, err error) {
	if err := isControl(socket); err != nil {
		return 0, nil, err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://mcpguard"+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	short, release, err := shortPath(socket)
	if err != nil {
		return 0, nil, fail(exitUnreachable, fmt.Errorf("find the control socket: %w", err), tryOf(err))
	}
	defer release()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", short)
		},
	}}
	res, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return 0, nil, notServing(socket)
	case err != nil:
		return 0, nil, fail(exitUnreachable, fmt.Errorf("ask the server: %w", err), "")
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxControlAnswer))
	if err != nil {
		return 0, nil, fail(exitUnreachable, fmt.Errorf("read what the server answers: %w", err), "")
	}
	return res.StatusCode, answer, nil
}

// isControl refuses a socket that another user could have put there: it would be
// told what is meant for the server.
func isControl(socket string) error {
	err := ownFolder(filepath.Dir(socket))
	if err == nil {
		_, err = os.Stat(socket)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notServing(socket)
	case err != nil:
		return fail(exitUnreachable, fmt.Errorf("find the control socket: %w", err), tryOf(err))
	}
	return nil
}

func notServing(socket string) error {
	return fail(exitUnreachable, fmt.Errorf("no server answers at %s", socket), "mcpguard serve, or --store of the one that runs")
}

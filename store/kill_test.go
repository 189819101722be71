package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

const (
	killedPath = "MCPGUARD_TEST_KILLED_STORE" // set in the child process that is killed
	killCount  = "MCPGUARD_TEST_KILLS"        // how many times; default 20
)

// appendUntilKilled is the child: 16 writers, each of which says on stdout what
// the log called durable.
func appendUntilKilled(path string) {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite://"+path)
	exitOn(err)
	log, err := audit.Open(ctx, audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a"})
	exitOn(err)
	fmt.Println("open")
	var out sync.Mutex
	for w := range 16 {
		session, err := toolcall.NewID()
		exitOn(err)
		go func() {
			for i := 0; ; i++ {
				what := fmt.Sprintf("%d.%d.%d", os.Getpid(), w, i)
				exitOn(log.Put(audit.Record{Kind: audit.Event, Session: session, Reason: redact.Public(what)}).Wait(ctx))
				out.Lock()
				fmt.Println(what)
				out.Unlock()
			}
		}()
	}
	select {}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Whatever the log called durable is there after kill -9 at any instant, the
// chain holds, and each record is found by its session.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	kills := 20
	if n, err := strconv.Atoi(os.Getenv(killCount)); err == nil {
		kills = n
	}
	path := filepath.Join(t.TempDir(), "guard.db")
	acknowledged := map[string]bool{}
	for i := range kills {
		for _, what := range runAndKill(t, path, time.Duration(1+i*7%60)*time.Millisecond) {
			acknowledged[what] = true
		}
	}
	s := openAt(t, path)
	head, err := audit.VerifyChain(t.Context(), s, "a")
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range s.Chain(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		delete(acknowledged, r.Reason.String())
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged records are lost", len(acknowledged))
	}
	wantOnce(t, s)
	var sound string
	if err := s.reading.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("the file is damaged: %s, %v", sound, err)
	}
	t.Logf("%d kills, %d records", kills, head.Seq)
}

// runAndKill starts the child, kills it some time after its first
// acknowledgement, and returns what it acknowledged.
func runAndKill(t *testing.T, path string, after time.Duration) (acknowledged []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedPath+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	opened, err := lines.ReadString('\n')
	if err != nil || opened != "open\n" {
		t.Fatalf("the child said %q, %v", opened, err)
	}
	if took := time.Since(from); took > 10*time.Second {
		t.Errorf("the restart took %v", took)
	}
	kill := time.AfterFunc(after, func() { _ = child.Process.Kill() })
	defer kill.Stop()
	for {
		line, err := lines.ReadString('\n') // a line without an end was not said
		if err != nil {
			break
		}
		acknowledged = append(acknowledged, strings.TrimSuffix(line, "\n"))
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acknowledged
}

const fullPath = "MCPGUARD_TEST_FULL_STORE" // set in the child process whose disk is full

// appendUntilFull is the child: it appends until a record is refused, says so,
// waits for a line on stdin, and appends again.
func appendUntilFull(path string) {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite://"+path)
	exitOn(err)
	log, err := audit.Open(ctx, audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a"})
	exitOn(err)
	big := audit.Record{Kind: audit.Event, Args: redact.Public(strings.Repeat("x", 10<<10))}
	n := 0
	for ; ; n++ {
		if err := log.Put(big).Wait(ctx); err != nil {
			fmt.Fprintf(os.Stdout, "refused after %d: %v\n", n, err)
			break
		}
	}
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	exitOn(err)
	from := time.Now()
	for { // the checkpointer makes room when it can
		err := log.Put(big).Wait(ctx)
		if err == nil {
			break
		}
		if time.Since(from) > 5*time.Second {
			exitOn(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("kept again")
	exitOn(log.Close(ctx))
	exitOn(s.Close())
	os.Exit(0)
}

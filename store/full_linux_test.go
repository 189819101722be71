package store

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mcpguard/audit"
)

// A disk that is full refuses records cleanly; when there is room again, records
// are kept again without a restart.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	dir, free := smallDisk(t, 4<<20)
	child := exec.Command(os.Args[0])
	path := filepath.Join(dir, "guard.db")
	child.Env = append(os.Environ(), fullPath+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	refused, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(refused, "full") {
		t.Fatalf("the child said %q, %v", refused, err)
	}
	var kept uint64
	if _, err := fmt.Sscanf(refused, "refused after %d:", &kept); err != nil {
		t.Fatal(err)
	}
	free(t)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	again, err := lines.ReadString('\n')
	if err != nil || again != "kept again\n" {
		t.Errorf("with room again the child said %q, %v", again, err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
	s := openAt(t, path)
	if head, err := audit.VerifyChain(t.Context(), s, "a"); err != nil || head.Seq != kept+1 {
		t.Errorf("the chain: %v, %v; want the %d records that were acknowledged", head, err, kept+1)
	}
	closeNow(t, s)
	t.Logf("%s, then kept again", strings.TrimSpace(refused))
}

// smallDisk mounts a file system in memory of the given size, and takes it away
// with the test. free makes it ten times as large. Only root can mount: without
// it the test is skipped, or fails where MCPGUARD_TEST_REQUIRE says "all".
func smallDisk(t *testing.T, bytes int) (dir string, free func(*testing.T)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, sizeOption(bytes)); err != nil {
		if os.Getenv("MCPGUARD_TEST_REQUIRE") == "all" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("SKIP: a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir, func(t *testing.T) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, sizeOption(10*bytes)); err != nil {
			t.Fatalf("enlarge the small disk: %v", err)
		}
	}
}

func sizeOption(bytes int) string { return "size=" + strconv.Itoa(bytes) }

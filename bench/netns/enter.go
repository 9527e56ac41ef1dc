package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls f on a thread that is on the host: sockets that it opens and
// processes that it starts belong there. f starts no goroutine that does so.
func (h *Host) Do(f func() error) error {
	there, err := os.Open(runDir + h.space)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("find the way back: %w", err)
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter host %s: %w", h.Name, err)
	}
	err = f()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread is lost: while it is locked nobody else gets it.
		return fmt.Errorf("leave host %s: %w", h.Name, back)
	}
	runtime.UnlockOSThread()
	return err
}

// Start starts a program on the host.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

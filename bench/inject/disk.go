package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own, in an image that is mounted over a loop
// device.
type Disk struct {
	// Dir is where it is mounted.
	Dir string

	image  string
	frozen bool
	slowed string // the device whose writes are counted, "major:minor"
}

// DisksAvailable says what is missing, nil for nothing.
func DisksAvailable() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting needs root")
	}
	for program, pkg := range map[string]string{"mkfs.ext4": "e2fsprogs", "mount": "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s: apt-get install %s", program, pkg)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return errors.New("the kernel has no loop devices")
	}
	return nil
}

// NewDisk makes a file system of size bytes in the file image and mounts it.
func NewDisk(ctx context.Context, image, dir string, size int64) (*Disk, error) {
	f, err := os.OpenFile(image, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("make a disk's image: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &Disk{Dir: dir, image: image}
	if err := run(ctx, "mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image); err != nil {
		return nil, err
	}
	return d, d.mount(ctx)
}

// mount mounts the image over a loop device of its own. mount(8) would take
// that of a former time up again, with the file system that failed, where a
// mount namespace that somebody made meanwhile keeps it.
func (d *Disk) mount(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", d.image).Output()
	if err != nil {
		return fmt.Errorf("losetup: %w", err)
	}
	device := string(bytes.TrimSpace(out))
	// Files that are removed give their room in the image back.
	err = run(ctx, "mount", "-o", "discard", device, d.Dir)
	// The device goes with its last user.
	return errors.Join(err, run(ctx, "losetup", "--detach", device))
}

// From linux/fs.h and ext4.h: FIFREEZE, FITHAW, EXT4_IOC_SHUTDOWN.
const (
	ioctlFreeze   = 0xc0045877
	ioctlThaw     = 0xc0045878
	ioctlShutdown = 0x8004587d

	// withoutLog: what the journal holds back is lost too.
	withoutLog = 2
)

// Fail makes every write and sync fail from now on. What was not synced is
// lost: followed by the death of the process it is a power cut.
func (d *Disk) Fail() error {
	flags := uint32(withoutLog)
	return d.ioctl("fail", ioctlShutdown, uintptr(unsafe.Pointer(&flags)))
}

// Freeze makes writes and syncs hang until Thaw. A process that waits for one
// does not even die.
func (d *Disk) Freeze() error {
	err := d.ioctl("freeze", ioctlFreeze, 0)
	d.frozen = err == nil
	return err
}

// Thaw ends a Freeze.
func (d *Disk) Thaw() error {
	if !d.frozen {
		return nil
	}
	d.frozen = false
	return d.ioctl("thaw", ioctlThaw, 0)
}

func (d *Disk) ioctl(what string, request, argument uintptr) error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, d.Dir, err)
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, argument); errno != 0 {
		return fmt.Errorf("%s %s: %w", what, d.Dir, errno)
	}
	return nil
}

// throttle is where writes a second of a device are limited: "major:minor n",
// 0 for no limit.
const throttle = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device"

// ThrottleAvailable says what is missing for Slow, nil for nothing.
func ThrottleAvailable() error {
	if _, err := os.Stat(throttle); err != nil {
		return errors.New("the kernel has no blkio throttling in cgroup v1")
	}
	return nil
}

// Slow lets the disk do so many writes a second, until Quick.
func (d *Disk) Slow(writes int) error {
	var s unix.Stat_t
	if err := unix.Stat(d.Dir, &s); err != nil {
		return fmt.Errorf("find the device of %s: %w", d.Dir, err)
	}
	d.slowed = fmt.Sprintf("%d:%d", unix.Major(uint64(s.Dev)), unix.Minor(uint64(s.Dev)))
	return os.WriteFile(throttle, fmt.Appendf(nil, "%s %d", d.slowed, writes), 0)
}

// Quick ends a Slow.
func (d *Disk) Quick() error {
	if d.slowed == "" {
		return nil
	}
	device := d.slowed
	d.slowed = ""
	return os.WriteFile(throttle, fmt.Appendf(nil, "%s 0", device), 0)
}

const fillName = "fill"

// Fill takes all room but so many bytes, until Empty.
func (d *Disk) Fill(leave int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.Dir, &s); err != nil {
		return fmt.Errorf("how full is %s: %w", d.Dir, err)
	}
	f, err := os.OpenFile(filepath.Join(d.Dir, fillName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("fill %s: %w", d.Dir, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// Room that goes to the file system's own records is found in halves.
	size := info.Size()
	for want := int64(s.Bavail)*s.Bsize - leave; want >= 4096; want /= 2 {
		err := unix.Fallocate(int(f.Fd()), 0, size, want)
		if err == nil {
			size += want
		} else if !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("fill %s: %w", d.Dir, err)
		}
		if err == nil && leave > 0 {
			return nil
		}
	}
	return nil
}

// Empty ends a Fill.
func (d *Disk) Empty() error {
	if err := os.Remove(filepath.Join(d.Dir, fillName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Remount takes the file system away and brings back what is on the disk, as
// a machine that comes up again does. Nobody may use it.
func (d *Disk) Remount(ctx context.Context) error {
	if err := d.unmount(ctx); err != nil {
		return err
	}
	return d.mount(ctx)
}

// unmount waits until the last process that used it is quite gone.
func (d *Disk) unmount(ctx context.Context) error {
	for {
		err := unix.Unmount(d.Dir, unix.UMOUNT_NOFOLLOW)
		if err == nil || errors.Is(err, unix.EINVAL) { // EINVAL: is no mount
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("unmount %s: %w", d.Dir, err)
		}
	}
}

// Close undoes everything and takes the file system away. Nobody may use it.
func (d *Disk) Close() error {
	err := errors.Join(d.Thaw(), d.Quick())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if busy := d.unmount(ctx); busy != nil {
		err = errors.Join(err, busy, unix.Unmount(d.Dir, unix.MNT_DETACH))
	}
	return errors.Join(err, os.Remove(d.image))
}

// SweepDisks thaws and takes away what is mounted below folders that begin
// with prefix and are not kept.
func SweepDisks(prefix string, keep func(path string) bool) error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], prefix) || keep(fields[1]) {
			continue
		}
		d := Disk{Dir: fields[1]}
		_ = d.ioctl("thaw", ioctlThaw, 0) // most are not frozen
		errs = append(errs, unix.Unmount(d.Dir, unix.MNT_DETACH))
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// pause waits and reports whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

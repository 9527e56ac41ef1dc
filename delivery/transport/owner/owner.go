// Package owner does what a transport does on this machine with the rights of a
// user of the system, never with those of the node. It is for Linux.
package owner

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Owner is a user and a group.
type Owner struct {
	// Name is how the configuration calls it.
	Name   string
	uid    int
	gid    int
	groups []int
	home   string
}

// Lookup finds "user" or "user:group", by names or by numbers. "" is who runs
// the node. Where the node may not act for the user the error says what to do.
func Lookup(name string) (Owner, error) {
	self := Owner{uid: os.Geteuid(), gid: os.Getegid()}
	if name == "" {
		return self, nil
	}
	who, group, _ := strings.Cut(name, ":")
	u, err := user.Lookup(who)
	if err != nil {
		if u, err = user.LookupId(who); err != nil {
			return Owner{}, fmt.Errorf("there is no user %q on this machine", who)
		}
	}
	o := Owner{Name: name, home: u.HomeDir}
	o.uid, _ = strconv.Atoi(u.Uid)
	o.gid, _ = strconv.Atoi(u.Gid)
	ids, err := u.GroupIds()
	if err != nil {
		return Owner{}, fmt.Errorf("find the groups of %s: %w", who, err)
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			o.groups = append(o.groups, n)
		}
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			if g, err = user.LookupGroupId(group); err != nil {
				return Owner{}, fmt.Errorf("there is no group %q on this machine", group)
			}
		}
		o.gid, _ = strconv.Atoi(g.Gid)
		o.groups = []int{o.gid}
	}
	if !o.self() && !maySwitch() {
		return Owner{}, fmt.Errorf("the node runs as another user than %s and may not act for it: give it CAP_SETUID and CAP_SETGID", who)
	}
	return o, nil
}

// maySwitch reports whether this process may act for other users.
func maySwitch() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return data[0].Effective&needed == needed
}

// self reports whether the owner is who runs the node.
func (o Owner) self() bool { return o.uid == os.Geteuid() && o.gid == os.Getegid() }

// UID is the number of the user.
func (o Owner) UID() int { return o.uid }

// Home is the user's home; "" for who runs the node.
func (o Owner) Home() string { return o.home }

// Credential has a command run as the owner; nil where that needs nothing.
func (o Owner) Credential() *syscall.Credential {
	if o.self() {
		return nil
	}
	c := &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	for _, g := range o.groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// Do runs f with the owner's rights on files: what f opens, makes and renames is
// done by the owner. f must not start a goroutine, nor read what belongs to the
// node.
func (o Owner) Do(f func() error) error {
	if o.self() {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// The rights are the thread's. Where they cannot be given back it ends
		// with the goroutine.
		runtime.LockOSThread()
		err, restored := o.switched(f)
		if restored {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// switched runs f as the owner on this thread.
func (o Owner) switched(f func() error) (err error, restored bool) {
	own, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("find the node's groups: %w", err), true
	}
	back := Owner{uid: os.Geteuid(), gid: os.Getegid(), groups: own}
	defer func() { restored = back.become() == nil }()
	if err := o.become(); err != nil {
		return err, false
	}
	return f(), false
}

// become gives this thread the owner's rights on files. The user comes last when
// they are taken: it gives up the right to change groups where it matters.
func (o Owner) become() error {
	groups := make([]uint32, len(o.groups))
	for i, g := range o.groups {
		groups[i] = uint32(g)
	}
	_, _, failed := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if failed != 0 {
		return fmt.Errorf("take the groups of %s: %w", o.Name, failed)
	}
	// setfsuid(2) tells nothing: what it was is what a second call says.
	_, _ = unix.SetfsgidRetGid(o.gid)
	_, _ = unix.SetfsuidRetUid(o.uid)
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if uid != o.uid || gid != o.gid {
		return errors.New("take the rights of " + o.Name + ": not permitted")
	}
	return nil
}

// String is the name, as errors show it.
func (o Owner) String() string {
	if o.Name == "" {
		return "the node's user"
	}
	return "user " + o.Name
}

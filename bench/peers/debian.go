package peers

import (
	"errors"
	"os"
	"path/filepath"

	"quorumta/bench/subject"
)

// postfix syncs its queue file before 250.
func postfix(r *room, p subject.Place) (subject.Subject, error) {
	s, address, err := newSettings(p)
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.write("postfix-main.cf", "etc/main.cf"), s.write("postfix-master.cf", "etc/master.cf"),
		r.prepare(`mkdir -p "$1/spool" "$1/log" && install -d -o postfix -g postfix "$1/data"`, p.Dir))
	if err != nil {
		return nil, err
	}
	return r.daemon("postfix", p.Dir, address, "postfix", "-c", filepath.Join(p.Dir, "etc"), "start-fg"), nil
}

// exim delivers each message as soon as it is in.
func exim(r *room, p subject.Place) (subject.Subject, error) { return anyExim(r, p, false) }

// eximQueue only queues, which it does fastest; a runner every two seconds
// delivers.
func eximQueue(r *room, p subject.Place) (subject.Subject, error) { return anyExim(r, p, true) }

func anyExim(r *room, p subject.Place, queueOnly bool) (subject.Subject, error) {
	s, address, err := newSettings(p)
	if err != nil {
		return nil, err
	}
	s.QueueOnly = queueOnly
	err = errors.Join(s.write("exim.conf", "exim4.conf"),
		r.prepare(`install -d -o Debian-exim -g Debian-exim "$1/spool" "$1/log"`, p.Dir))
	if err != nil {
		return nil, err
	}
	// The place that it was built for: what it runs as itself it believes
	// there only.
	r = r.bind(filepath.Join(p.Dir, "exim4.conf"), "/etc/exim4/exim4.conf")
	every := "-q20s"
	if queueOnly {
		every = "-q2s"
	}
	return r.daemon("exim", p.Dir, address, "exim4", "-bdf", every), nil
}

// opensmtpd syncs nothing.
func opensmtpd(r *room, p subject.Place) (subject.Subject, error) {
	s, address, err := newSettings(p)
	if err != nil {
		return nil, err
	}
	spool := filepath.Join(p.Dir, "spool")
	err = errors.Join(s.write("smtpd.conf", "smtpd.conf"), os.Mkdir(spool, 0o711))
	if err != nil {
		return nil, err
	}
	r = r.bind(spool, "/var/spool/smtpd")
	return r.daemon("opensmtpd", p.Dir, address, "smtpd", "-d", "-f", filepath.Join(p.Dir, "smtpd.conf")), nil
}

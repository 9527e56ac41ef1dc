package netns

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Way is a direction between two hosts.
type Way struct{ From, To *Host }

// Between are the ways between a host and others, in both directions.
func Between(h *Host, others ...*Host) []Way {
	return append(To(h, others...), From(h, others...)...)
}

// To are the ways from others to h: cut, h is deaf to them.
func To(h *Host, others ...*Host) []Way {
	var ways []Way
	for _, o := range others {
		ways = append(ways, Way{From: o, To: h})
	}
	return ways
}

// From are the ways from h to others: cut, h is mute.
func From(h *Host, others ...*Host) []Way {
	var ways []Way
	for _, o := range others {
		ways = append(ways, Way{From: h, To: o})
	}
	return ways
}

// Others are the hosts beside these.
func (l *Lab) Others(these ...*Host) []*Host {
	var others []*Host
	for _, h := range l.Hosts {
		among := false
		for _, t := range these {
			among = among || t == h
		}
		if !among {
			others = append(others, h)
		}
	}
	return others
}

// Cut drops what comes by these ways, beside those cut before.
func (l *Lab) Cut(ctx context.Context, ways ...Way) error {
	return l.rule(ctx, ways, "DROP")
}

// Heal opens all ways, on every host.
func (l *Lab) Heal(ctx context.Context) error {
	var errs []error
	for _, h := range l.Hosts {
		errs = append(errs, h.tables(ctx, "-F INPUT\n"))
	}
	return errors.Join(errs...)
}

// rule has the target deal with what comes by these ways.
func (l *Lab) rule(ctx context.Context, ways []Way, target string) error {
	for _, h := range l.Hosts {
		var rules strings.Builder
		for _, w := range ways {
			if w.To == h {
				fmt.Fprintf(&rules, "-A INPUT -s %s -j %s\n", w.From.Address, target)
			}
		}
		if rules.Len() == 0 {
			continue
		}
		if err := h.tables(ctx, rules.String()); err != nil {
			return err
		}
	}
	return nil
}

// tables changes the host's packet filter.
func (h *Host) tables(ctx context.Context, rules string) error {
	err := feed(ctx, "*filter\n"+rules+"COMMIT\n", "ip", "netns", "exec", h.space, "iptables-restore", "--noflush", "--wait", "5")
	if err != nil {
		return fmt.Errorf("packet filter of host %s: %w", h.Name, err)
	}
	return nil
}

package route

import (
	"fmt"
	"net/netip"

	"quorumta/internal/mail"
)

// Find has the fine points of how a router finds hosts; its zero value is what
// RFC 5321 and common sense want. The functions are called from many goroutines.
type Find struct {
	// Ignore are addresses that are taken for absent (ignore_target_hosts).
	Ignore func(netip.Addr) bool
	// MXDomains must have an MX or SRV record: their own address does not do.
	MXDomains func(domain string) bool
	// MXFail are domains for which name servers that do not answer are taken to
	// say that there is no MX record (mx_fail_domains).
	MXFail func(domain string) bool
	// FailDefer are domains that wait when they do not exist
	// (fail_defer_domains).
	FailDefer func(domain string) bool
	// SRV is the service whose hosts are asked for before MX records, as "smtp"
	// (check_srv); "" for none.
	SRV string
	// Secondary takes only domains that this relay is a mail exchanger of, but
	// not the best one (check_secondary_mx).
	Secondary bool
	// NotFound is what to do where there are no hosts: fail by MX, wait by Hosts
	// (host_find_failed). Timeout: where no name server answers; wait
	// (pass_on_timeout). Self: where only this relay itself is left; fail by MX,
	// wait by Hosts (self).
	NotFound, Timeout, Self Action
	// Fallback are hosts, each tried when no host before it can be reached: those
	// of Hosts or MX come first.
	Fallback []string
}

// Action is what to do about a recipient for whom there is no host; "" is what
// the kind of router does by itself.
type Action string

// The actions.
const (
	ActFail    Action = "fail"
	ActDefer   Action = "defer"
	ActPass    Action = "pass"
	ActDecline Action = "decline"
)

func (f *Find) check() error {
	for _, a := range []Action{f.NotFound, f.Timeout, f.Self} {
		switch a {
		case "", ActFail, ActDefer, ActPass, ActDecline:
		default:
			return fmt.Errorf("%q is none of fail, defer, pass, decline", a)
		}
	}
	return nil
}

// holds reports whether a domain is in a list, which may be absent.
func holds(list func(string) bool, domain string) bool { return list != nil && list(domain) }

// instead is the decision of an action in the place of the one that the kind of
// router takes by itself.
func (a Action) instead(of Decision) Decision {
	d := of
	switch a {
	case ActFail:
		d.Kind = Fail
		d.Reply = classed(of.Reply, '5')
	case ActDefer:
		d.Kind = Defer
		d.Reply = classed(of.Reply, '4')
	case ActPass:
		d.Kind = pass
	case ActDecline:
		d.Kind = decline
	}
	return d
}

// classed is a reply of ours in another class: RFC 3463 has the same details in
// both.
func classed(r mail.Reply, class byte) mail.Reply {
	if r.Enhanced == "" || r.Enhanced[0] == class {
		return r
	}
	r.Enhanced = string(class) + r.Enhanced[1:]
	r.Code = map[byte]int{'4': 451, '5': 550}[class]
	return r
}

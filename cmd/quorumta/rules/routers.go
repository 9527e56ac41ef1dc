package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/route/aliases"
	"quorumta/internal/config"
	"quorumta/internal/lookup"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
)

// Routers makes the table of a file's routers; o has the Resolver, and what else
// is not said in the file, tables its lookups. What is wrong in files with aliases
// is logged.
func Routers(f *config.File, o route.Options, tables map[string]*lookup.Table, log *slog.Logger) (*route.Table, error) {
	o.Hostname = f.Hostname
	o.Files = &aliases.Files{Now: time.Now, Told: func(path string, faults []aliases.Fault) {
		for _, fault := range faults {
			log.Warn("aliases: " + path + ":" + fault.String())
		}
	}}
	rewrites, err := Rewrites(f)
	if err != nil {
		return nil, err
	}
	for i := range f.Routers {
		r, err := router(f, &f.Routers[i], tables)
		if x := f.Routers[i].Redirect; err == nil && r.Redirect != nil && (x == nil || x.Rewrite == nil || *x.Rewrite) {
			r.Redirect.Rewrite = recipients(rewrites)
		}
		if err != nil {
			return nil, fmt.Errorf("router %s: %w", f.Routers[i].Name, err)
		}
		o.Routers = append(o.Routers, r)
	}
	return route.New(o)
}

// compiler compiles a router's expressions; the first error stays.
type compiler struct {
	env *policy.Env
	err error
}

// text is nil for "".
func (c *compiler) text(expr string) *policy.Text {
	if expr == "" {
		return nil
	}
	t, err := c.env.Text(expr, config.RouterFacts()...)
	c.err = errors.Join(c.err, err)
	return t
}

func router(f *config.File, r *config.Router, tables map[string]*lookup.Table) (route.Router, error) {
	c := compiler{env: f.Env()}
	condition, err := c.env.Condition(r.If, config.RouterConditions()...)
	c.err = errors.Join(c.err, err)
	out := route.Router{
		Name: r.Name, If: condition, Hosts: r.Hosts, MX: r.MX != nil, Accept: r.Accept,
		Affix: route.Affix{
			Prefixes: r.Prefix, Suffixes: r.Suffix, PrefixOptional: r.PrefixOptional, SuffixOptional: r.SuffixOptional,
		},
		Find:      find(f, r),
		Say:       route.Say{Remove: r.HeadersRemove, Data: c.text(r.AddressData)},
		Flow:      route.Flow{Last: r.More != nil && !*r.More, Pass: r.PassRouter, Redirect: r.RedirectRouter},
		Transport: r.Transport, Port: DefaultPort(f, r.Transport), TLS: route.TLSMode(r.TLS), Trace: r.Trace,
		Demand: tlspolicy.Demand{DANE: tlspolicy.Use(r.UsesDANE()), STS: r.UsesMTASTS()},
	}
	if r.ErrorsTo != nil {
		out.Say.Errors = c.text(*r.ErrorsTo)
	}
	for _, field := range r.HeadersAdd {
		out.Say.Add = append(out.Say.Add, c.text(field))
	}
	switch x := r.Redirect; {
	case x != nil:
		out.Redirect = &route.Redirect{
			Files: x.Files, Lookups: named(x.Lookups, tables), Key: c.text(x.Key), Data: c.text(x.Data), Qualify: strings.ToLower(x.QualifyDomain),
			Commands: x.PipeTransport, Paths: x.FileTransport,
		}
	case r.Copy != "":
		out.Redirect = &route.Redirect{Data: c.text(r.Copy), Unseen: true}
	}
	return out, c.err
}

// find is what a router says of finding hosts.
func find(f *config.File, r *config.Router) route.Find {
	out := route.Find{NotFound: route.Action(r.HostFindFailed), Self: route.Action(r.Self), Fallback: r.Fallback}
	if r.PassOnTimeout {
		out.Timeout = route.ActPass
	}
	env := f.Env()
	if nets := r.IgnoreTargetHosts; len(nets) > 0 {
		out.Ignore = func(a netip.Addr) bool {
			return slices.ContainsFunc(nets, func(net string) bool { return env.In(a, net) })
		}
	}
	if r.MX == nil {
		return out
	}
	domains := func(lists []string) func(string) bool {
		return func(domain string) bool {
			return slices.ContainsFunc(lists, func(list string) bool { return env.Lists(domain, list) })
		}
	}
	out.MXDomains, out.MXFail, out.FailDefer = domains(r.MX.MXDomains), domains(r.MX.MXFailDomains), domains(r.MX.FailDeferDomains)
	out.SRV, out.Secondary = r.MX.CheckSRV, r.MX.CheckSecondaryMX
	return out
}

// Aliases reads the files of redirects over, and tells what is wrong in them:
// file:line: what.
func Aliases(f *config.File) []string {
	var out []string
	files := aliases.Files{Now: time.Now, Told: func(path string, faults []aliases.Fault) {
		for _, fault := range faults {
			out = append(out, path+":"+fault.String())
		}
	}}
	for _, r := range f.Routers {
		if r.Redirect == nil {
			continue
		}
		for _, path := range r.Redirect.Files {
			if _, _, _, err := files.Lookup(path); err != nil {
				out = append(out, err.Error())
			}
		}
	}
	return out
}

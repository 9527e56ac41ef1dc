package rules

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"quorumta/delivery/limit"
	"quorumta/internal/config"
	"quorumta/internal/policy"
)

// Sites compiles what a file allows sites; nil where it says nothing. A rule
// whose condition fails at run time holds: it is a limit, and told in the log.
func Sites(f *config.File, log *slog.Logger) (limit.Rules, error) {
	type site struct {
		condition *policy.SiteCondition
		rule      limit.Rule
		address   bool
	}
	var all []site
	for _, s := range f.Sites {
		c, err := f.Env().SiteCondition(s.If)
		if err != nil {
			return nil, fmt.Errorf("site rule %s: %w", s.Name, err)
		}
		all = append(all, site{c, limit.Rule{
			Name: s.Name, Patterns: patterns(s.Replies), Connections: s.Connections, PerNode: s.PerNode,
			MessagesPerMinute: s.MessagesPerMinute, MessagesPerHour: s.MessagesPerHour, RecipientsPerMinute: s.RecipientsPerMinute,
			MessagesPerConnection: s.MessagesPerConnection, RecipientsPerMessage: s.RecipientsPerMessage,
		}, s.Per == "address"})
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(p limit.Place) (rule, address *limit.Rule) {
		facts := &policy.SiteFacts{Key: p.Key, Hosts: p.Hosts, Address: p.Address, Router: p.Router, Domain: p.Domain}
		for i := range all {
			found := &rule
			if all[i].address {
				found = &address
			}
			if *found != nil {
				continue
			}
			holds, err := all[i].condition.Eval(facts)
			if err != nil {
				log.Error("the condition of a site rule cannot be told: the rule holds", "rule", all[i].rule.Name, "site", p.Key, "error", err)
			}
			if holds || err != nil {
				*found = &all[i].rule
			}
		}
		return rule, address
	}, nil
}

// patterns compiles what a rule says of replies, which was checked.
func patterns(list []config.SiteReply) []limit.Pattern {
	var all []limit.Pattern
	for _, r := range list {
		all = append(all, limit.Pattern{
			Match: regexp.MustCompile(r.Match), For: time.Duration(r.For),
			Suspend: r.Do == "suspend", Connections: r.To, Factor: r.Factor,
		})
	}
	return all
}

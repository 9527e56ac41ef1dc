package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// SiteFacts is what conditions about sites see: site.key, site.hosts,
// site.address (what the mail leaves from), and router and rcpt.domain of the
// mail that first went there.
type SiteFacts struct {
	Key     string
	Hosts   []string
	Address string
	Router  string
	Domain  string
}

// SiteCondition is a compiled condition over SiteFacts, safe for concurrent use.
type SiteCondition struct{ condition *Condition }

// SiteCondition compiles a condition about sites; the empty one is always true.
// The error is as that of Condition.
func (e *Env) SiteCondition(expr string) (*SiteCondition, error) {
	c, err := e.sites.condition(expr, nil)
	if err != nil {
		return nil, err
	}
	return &SiteCondition{c}, nil
}

// Eval evaluates the condition; an error is never to be taken for false.
func (c *SiteCondition) Eval(f *SiteFacts) (bool, error) {
	return c.condition.eval((*siteActivation)(f))
}

// siteVariables are the names of SiteFacts; siteActivation knows each.
var siteVariables = []variable{
	{"site.key", cel.StringType},
	{"site.hosts", cel.ListType(cel.StringType)},
	{"site.address", cel.StringType},
	{"router", cel.StringType},
	{"rcpt.domain", cel.StringType},
}

type siteActivation SiteFacts

// ResolveName implements interpreter.Activation.
func (f *siteActivation) ResolveName(name string) (any, bool) {
	switch name {
	case "site.key":
		return types.String(f.Key), true
	case "site.hosts":
		return types.NewStringList(types.DefaultTypeAdapter, f.Hosts), true
	case "site.address":
		return types.String(f.Address), true
	case "router":
		return types.String(f.Router), true
	case "rcpt.domain":
		return types.String(f.Domain), true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (f *siteActivation) Parent() interpreter.Activation { return nil }

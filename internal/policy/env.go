package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

const (
	// maxExpression is the longest expression, in code points.
	maxExpression = 8 << 10
	// maxDepth is how deep expressions nest.
	maxDepth = 50
)

// Env holds the named nets and lists that conditions may use; safe for
// concurrent use.
type Env struct {
	nets  map[string]prefixSet
	lists map[string]nameSet
	// conditions is the environment of Condition, messages that of
	// MessageCondition, reports that of ReportCondition, sites that of
	// SiteCondition, addresses that of AddressCondition and AddressText.
	conditions, messages, reports, sites, addresses scope
}

// scope is a CEL environment and the names that it knows.
type scope struct {
	env   *cel.Env
	names []string
	// content are groups of names for which the message's content is read: they
	// are known only to expressions that say so.
	content []string
}

// identifier is a name that needs no quoting after "nets.".
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are the words that CEL keeps for itself.
var reserved = []string{
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
	"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while",
}

// CheckName tells why a name cannot stand after "nets." or "lists.".
func CheckName(name string) error {
	if !identifier.MatchString(name) {
		return fmt.Errorf("%q is no name for conditions: letters, digits and _ are expected", name)
	}
	if slices.Contains(reserved, name) {
		return fmt.Errorf("%q is a word of the condition language; choose another name", name)
	}
	return nil
}

// NewEnv makes an environment; it fails where a name is no CEL identifier.
func NewEnv(nets map[string][]netip.Prefix, lists map[string][]string) (*Env, error) {
	e := &Env{nets: map[string]prefixSet{}, lists: map[string]nameSet{}}
	netType := cel.ObjectType("net", traits.ContainerType)
	listType := cel.ObjectType("names", traits.ContainerType)
	var faults []error
	var constants []cel.EnvOption
	var names []string
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		faults = append(faults, CheckName(name))
		e.nets[name] = newPrefixSet(nets[name])
		names = append(names, "nets."+name)
		constants = append(constants, cel.Constant("nets."+name, netType, &netValue{name, netType, e.nets[name]}))
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		faults = append(faults, CheckName(name))
		e.lists[name] = newNameSet(lists[name])
		names = append(names, "lists."+name)
		constants = append(constants, cel.Constant("lists."+name, listType, &listValue{name, listType, e.lists[name]}))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	base, err := cel.NewEnv(append(constants,
		ext.Strings(),
		ext.Network(),
		cel.Function(operators.In,
			cel.Overload("ip_in_net", []*cel.Type{ext.IPType, netType}, cel.BoolType),
			cel.Overload("text_in_names", []*cel.Type{cel.StringType, listType}, cel.BoolType)),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxDepth),
	)...)
	if err != nil {
		return nil, fmt.Errorf("set up conditions: %w", err)
	}
	if e.conditions, err = extend(base, names, factVariables); err != nil {
		return nil, err
	}
	e.conditions.content = []string{"from", "header"}
	if e.messages, err = extend(base, names, messageVariables); err != nil {
		return nil, err
	}
	if e.reports, err = extend(base, names, reportVariables); err != nil {
		return nil, err
	}
	if e.sites, err = extend(base, names, siteVariables); err != nil {
		return nil, err
	}
	e.addresses, err = extend(base, names, addressVariables())
	return e, err
}

func extend(base *cel.Env, names []string, variables []variable) (scope, error) {
	s := scope{names: slices.Clone(names)}
	var options []cel.EnvOption
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.typ))
		s.names = append(s.names, v.name)
	}
	var err error
	if s.env, err = base.Extend(options...); err != nil {
		return scope{}, fmt.Errorf("set up conditions: %w", err)
	}
	return s, nil
}

// In reports whether the address is in the named net.
func (e *Env) In(addr netip.Addr, net string) bool { return e.nets[net].contains(addr) }

// Lists reports whether the text is in the named list.
func (e *Env) Lists(text, list string) bool { return e.lists[list].contains(text) }

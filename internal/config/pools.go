package config

import "strconv"

// within checks the keys below a path.
type within struct {
	*checker
	path string
}

func (w within) at(path string) string {
	if path == "" {
		return w.path
	}
	return w.path + "." + path
}

// Fault implements egress.Checker.
func (w within) Fault(path, what, hint string) { w.faultAt(w.at(path), what, hint) }

// Condition implements egress.Checker.
func (w within) Condition(path, expr string) {
	w.condition(w.at(path), expr, RouterFacts()...)
}

// Text implements egress.Checker.
func (w within) Text(path, expr string) {
	w.computed(w.at(path), expr, RouterFacts()...)
}

// Choice implements egress.Checker.
func (w within) Choice(path, value string, allowed ...string) {
	w.choice(w.at(path), value, allowed...)
}

// pools checks the pools of addresses.
func (c *checker) pools() {
	names := map[string]bool{}
	for i := range c.file.Pools {
		path := "pools[" + strconv.Itoa(i) + "]"
		c.name(path, c.file.Pools[i].Name, names)
		c.file.Pools[i].Check(within{c, path})
		for j, a := range c.file.Pools[i].Addresses {
			for k, node := range a.Nodes {
				if !IsNodeName(node) {
					c.faultAt(path+".addresses["+strconv.Itoa(j)+"].nodes["+strconv.Itoa(k)+"]", strconv.Quote(node)+" is not a node name", "")
				}
			}
		}
	}
}

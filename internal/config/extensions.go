package config

import (
	"strconv"
	"time"
)

// futureRelease checks who may have messages held back, and for how long: whole
// seconds, which RFC 4865, section 4, gives nine digits.
func (c *checker) futureRelease(path string, r *FutureRelease) {
	if r == nil {
		return
	}
	if c.file.Nets[r.From] == nil {
		c.faultAt(path+".from", "there is no net "+r.From, "from names one of nets: whose clients may have messages held back")
	}
	if most := time.Duration(r.Max); most < time.Second || most >= 1e9*time.Second {
		c.faultAt(path+".max", "a message is held back for 1s at least, and for less than 31 years", "max: 30d")
	}
}

// PriorityConditions are the groups of facts that rules for priorities may look
// at.
func PriorityConditions() []string { return []string{"client", "sender", "message", "header"} }

// priorities checks the rules that say how urgent messages are.
func (c *checker) priorities() {
	names := map[string]bool{}
	for i, r := range c.file.Priorities {
		path := "priorities[" + strconv.Itoa(i) + "]"
		c.name(path, r.Name, names)
		c.condition(path+".if", r.If, PriorityConditions()...)
		if r.Priority < -9 || r.Priority > 9 {
			c.faultAt(path+".priority", "a priority is a number from -9 to 9", "mail without one has 0")
		}
	}
}

package config

import (
	"strconv"

	"quorumta/internal/config/value"
)

// Rewrite is a rule for addresses.
type Rewrite = value.Rewrite

func (c *checker) rewrites() {
	names := map[string]bool{}
	for i, r := range c.file.Rewrites {
		path := "rewrites[" + strconv.Itoa(i) + "]"
		c.name(path, r.Name, names)
		for j, place := range r.In {
			c.choice(path+".in["+strconv.Itoa(j)+"]", place, r.Places()...)
		}
		if r.To == "" && !r.Stop {
			c.faultAt(path, "to is missing", `it is an expression: to: 'address.local + "@new.example"'; a rule that leaves addresses as they are has stop: true`)
		}
		if env := c.file.env; env != nil {
			_, err := env.AddressCondition(r.If)
			c.compiled(path+".if", err)
			if r.To != "" {
				_, err = env.AddressText(r.To)
				c.compiled(path+".to", err)
			}
		}
	}
}

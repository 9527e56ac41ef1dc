package value

// Priority is a rule that says how urgent some messages are.
type Priority struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Priority is from -9 to 9 (RFC 6710).
	Priority int `yaml:"priority"`
}

package value

// DKIM is a signature that messages get on their way out. Domain, Selector,
// Identity and Key are expressions.
type DKIM struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Domain is that of the header's From if it is "", Identity is left out.
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Identity string `yaml:"identity"`
	// Key is the name of the file.
	Key string `yaml:"key"`
	// Optional leaves the signature out where the key's file is missing.
	Optional bool `yaml:"optional"`
	// Headers and Oversign are the fields that are signed; nil for the usual
	// ones.
	Headers  []string `yaml:"headers"`
	Oversign []string `yaml:"oversign"`
	// Canon is the form of header and body, relaxed or simple each.
	Canon  string   `yaml:"canon"`
	Expire Duration `yaml:"expire"`
}

// ARC is a seal that messages get on their way out. Domain, Selector and Key
// are expressions.
type ARC struct {
	Name     string `yaml:"name"`
	If       string `yaml:"if"`
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Key      string `yaml:"key"`
	Optional bool   `yaml:"optional"`
	// Server is in whose name the seal speaks, hostname if it is ""; Trust are
	// others whose Authentication-Results are believed.
	Server string   `yaml:"server"`
	Trust  []string `yaml:"trust"`
	// Headers are the fields that are signed; nil for the usual ones.
	Headers []string `yaml:"headers"`
}

// SRS rewrites reverse-paths of mail that is forwarded.
type SRS struct {
	If string `yaml:"if"`
	// Domain is where rewritten addresses are.
	Domain string `yaml:"domain"`
	// Secret is a file: its first line is for new addresses, all are good for
	// those that come back.
	Secret string `yaml:"secret"`
	// Hash is sha256 or sha1; Length how many characters of it an address has.
	Hash   string `yaml:"hash"`
	Length int    `yaml:"length"`
	// MaxAge is how long an address is good.
	MaxAge    Duration `yaml:"max_age"`
	Separator string   `yaml:"separator"`
}

// BATV tags reverse-paths of other mail.
type BATV struct {
	If string `yaml:"if"`
	// Keys are files by their number, 0 to 9; Key is the one that tags.
	Keys   map[string]string `yaml:"keys"`
	Key    string            `yaml:"key"`
	MaxAge Duration          `yaml:"max_age"`
	// Check is for which recipients a report without a tag is refused; "" for
	// none.
	Check string `yaml:"check"`
}

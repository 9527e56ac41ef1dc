package value

// LMTP are the settings of a transport to a server that delivers.
type LMTP struct {
	// Socket is the server's Unix socket; "" for the hosts of routers.
	Socket string `yaml:"socket"`
}

// Maildir are the settings of a transport into Maildirs.
type Maildir struct {
	// Path is an expression for a recipient's Maildir; "" for the file that an
	// alias names.
	Path string `yaml:"path"`
	// User owns the mailboxes, as "user" or "user:group"; "" for the node's own.
	User string `yaml:"user"`
	// Quota and QuotaMessages bound each mailbox; 0: no bound.
	Quota         Size `yaml:"quota"`
	QuotaMessages int  `yaml:"quota_messages"`
}

// Pipe are the settings of a transport to a command.
type Pipe struct {
	// Command is a program's path and its arguments, in which ${expression} stands
	// for a text; without it the command is the one that an alias names.
	Command []string `yaml:"command"`
	// User is who runs it, as "user" or "user:group"; "" for the node's own.
	User string `yaml:"user"`
	// Timeout is how long it may run; 0 means 1 h.
	Timeout Duration `yaml:"timeout"`
	// Output is how much of what it prints is kept; 0 means 4 KB.
	Output Size `yaml:"output"`
	// Temporary are exit statuses that mean later; nil for those of sysexits.h.
	Temporary []int `yaml:"temporary"`
	// Processes is how many run at once; 0 means 10.
	Processes int `yaml:"processes"`
	// Environment is set for the command; values as in Command.
	Environment map[string]string `yaml:"environment"`
}

// HTTP are the settings of a transport to a web server.
type HTTP struct {
	// URL is where messages are posted; ${expression} in it stands for a text.
	URL string `yaml:"url"`
	// Headers are fields beside the transport's own; values as in URL.
	Headers map[string]string `yaml:"headers"`
	// Timeout is for connecting, TLS and the answer; 0 means 30 s.
	Timeout Duration `yaml:"timeout"`
	// CA is a file of roots to be trusted in the place of the system's.
	CA string `yaml:"ca"`
}

// Discard are the settings of a transport to nowhere.
type Discard struct{}

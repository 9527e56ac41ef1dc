package value

// Pair is a certificate with its key.
type Pair struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Admin is where commands and monitoring ask.
type Admin struct {
	Socket string `yaml:"socket"`
	Listen string `yaml:"listen"`
	// Metrics serves /metrics, /healthz and /readyz in the clear.
	Metrics string `yaml:"metrics"`
}

// Keep says what is remembered and what is kept free.
type Keep struct {
	History  Duration `yaml:"history"`
	FreeDisk Size     `yaml:"free_disk"`
}

// Log is how the node logs to standard error.
type Log struct {
	// Format is json or text.
	Format string `yaml:"format"`
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
}

package value

// Listener is a port for mail.
type Listener struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
	// TLS is off, offer, require or implicit.
	TLS string `yaml:"tls"`
	// Proxy names the net whose PROXY headers are believed and demanded.
	Proxy string `yaml:"proxy"`
	// Certificate names the one that is shown to who asks for no name that is
	// known; "" means that of TLS.
	Certificate string `yaml:"certificate"`
	// FutureRelease is who may have messages held back, and for how long.
	FutureRelease *FutureRelease `yaml:"future_release"`
	// Priority names the net whose clients may say how urgent a message is (RFC
	// 6710).
	Priority string `yaml:"priority"`
}

// FutureRelease is RFC 4865 at a listener.
type FutureRelease struct {
	// From names the net of those who are offered it.
	From string   `yaml:"from"`
	Max  Duration `yaml:"max"`
}

// Limits bound what clients may do.
type Limits struct {
	Message     Size `yaml:"message"`
	Recipients  int  `yaml:"recipients"`
	Connections int  `yaml:"connections"`
	PerClient   int  `yaml:"per_client"`
	Received    int  `yaml:"received"`
}

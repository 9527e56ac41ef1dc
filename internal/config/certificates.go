package config

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Certificate is a further certificate of the listeners: it is shown to who
// asks for a name that it has (SNI, RFC 6066, section 3).
type Certificate struct {
	Name string `yaml:"name"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// certificates checks those of the listeners, and that the listeners name them
// rightly.
func (c *checker) certificates() {
	names := map[string]bool{}
	for i, x := range c.file.Certificates {
		path := "certificates[" + strconv.Itoa(i) + "]"
		c.name(path, x.Name, names)
		if x.Cert == "" || x.Key == "" {
			c.faultAt(path, "a certificate needs cert and key", "write {name: partners, cert: partners.pem, key: partners.key}")
			continue
		}
		c.readable(path+".cert", x.Cert)
		c.readable(path+".key", x.Key)
	}
	for i, l := range c.file.Listeners {
		if l.Certificate != "" && !names[l.Certificate] {
			c.faultAt("listeners["+strconv.Itoa(i)+"].certificate", "there is no certificate "+l.Certificate, "certificate names one of certificates:")
		}
	}
}

// certified reports whether a listener has something to show.
func (f *File) certified(l Listener) bool {
	return f.TLS.Cert != "" || slices.ContainsFunc(f.Certificates, func(x Certificate) bool { return x.Name == l.Certificate })
}

// readable checks that a file is there, and that a key is its owner's alone.
func (c *checker) readable(path, name string) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		c.faultAt(path, "cannot read "+name, "paths are relative to the file")
	case strings.HasSuffix(path, "key") && info.Mode().Perm()&0o077 != 0:
		c.faultAt(path, fmt.Sprintf("%s may be read by others (mode %o)", name, info.Mode().Perm()), "chmod 600 it")
	}
}

package smtptest

import (
	"path/filepath"
	"strings"
	"testing"
)

const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
instance_name = smtptest
protocols =
ssl = no
auth_mechanisms = plain login scram-sha-1 scram-sha-256 xoauth2 oauthbearer
auth_cache_size = 0
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%u %[1]s/users
  mechanisms = plain login scram-sha-1 scram-sha-256
}
%[2]s
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener %[1]s/sasl {
    mode = 0666
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`

const dovecotTokens = `
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = %[1]s/oauth2
}
`

// DovecotSASL runs Dovecot's authentication alone and returns the socket at
// which Postfix asks it. users are lines "name:password". Tokens are asked after
// at a URL to which each is appended (RFC 7662 by GET); "" where there are none.
func DovecotSASL(t testing.TB, tokens string, users ...string) string {
	t.Helper()
	program := need(t, "dovecot", "dovecot-core")
	dir := room(t, "run")
	write(t, filepath.Join(dir, "users"), "%s\n", strings.Join(users, "\n"))
	passdb := ""
	if tokens != "" {
		passdb = strings.ReplaceAll(dovecotTokens, "%[1]s", dir)
		write(t, filepath.Join(dir, "oauth2"), "introspection_mode = get\nintrospection_url = %s\nactive_attribute = active\nactive_value = true\nusername_attribute = username\n", tokens)
	}
	conf := filepath.Join(dir, "dovecot.conf")
	write(t, conf, dovecotConf, dir, passdb)
	start(t, filepath.Join(dir, "said"), nil, program, "-F", "-c", conf)
	socket := filepath.Join(dir, "sasl")
	wait(t, "Dovecot's socket", func() bool { return answers(t, socket) })
	return socket
}

package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rows are what each database has.
var rows = [][2]string{
	{"info@corp.example", "a@corp.example"},
	{"info@corp.example", "b@corp.example, c@corp.example"},
	{"o'neil@corp.example", "o@corp.example"},
	{"grüße@corp.example", "g@corp.example"},
	{"%@corp.example", "percent@corp.example"},
	{"empty@corp.example", ""},
	{`back\slash@corp.example`, "back@corp.example"},
}

// check asks a database about keys of which some mean something in SQL.
func check(t *testing.T, o Options, bind func(int) string) {
	t.Helper()
	db, err := sql.Open(Drivers[o.Driver], o.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ready(t, db)
	create := "CREATE TABLE alias (address VARCHAR(200), local VARCHAR(100), domain VARCHAR(100), goto VARCHAR(200))"
	if _, err := db.Exec(create); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		local, domain, _ := strings.Cut(r[0], "@")
		insert := "INSERT INTO alias VALUES (" + strings.Join([]string{bind(1), bind(2), bind(3), bind(4)}, ", ") + ")"
		if _, err := db.Exec(insert, r[0], local, domain, sql.NullString{String: r[1], Valid: r[1] != ""}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(o Options, key string) ([]string, error) {
		t.Helper()
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return s.Lookup(ctx, key)
	}
	o.Query = "SELECT goto, 1 FROM alias WHERE address = " + bind(1) + " ORDER BY goto"
	parts := o
	parts.Query = "SELECT goto FROM alias WHERE domain = " + bind(1) + " AND local = " + bind(2) + " ORDER BY goto"
	parts.Args = []string{"domain", "local"}
	for key, want := range map[string][]string{
		"info@corp.example": {"a@corp.example", "b@corp.example, c@corp.example"}, "o'neil@corp.example": {"o@corp.example"},
		"grüße@corp.example": {"g@corp.example"}, "%@corp.example": {"percent@corp.example"}, `back\slash@corp.example`: {"back@corp.example"},
		"empty@corp.example": nil, "x@corp.example": nil, "' OR 1=1 --": nil, `" OR ""="`: nil, "x@corp.example'; DROP TABLE alias; --": nil, `\' OR 1=1 #`: nil,
	} {
		for name, o := range map[string]Options{"key": o, "parts": parts} {
			if got, err := ask(o, key); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s by %s: %q, %v; want %q", key, name, got, err, want)
			}
		}
	}
	broken := o
	broken.Query = "SELECT nonsense FROM nowhere WHERE x = " + bind(1)
	if _, err := ask(broken, "x"); err == nil || !strings.HasPrefix(err.Error(), "refused: ") {
		t.Errorf("a query that cannot be read: %v", err)
	}
	if o.Driver == "sqlite" {
		return
	}
	away := o
	away.DSN = strings.NewReplacer("sock", "none").Replace(o.DSN)
	if _, err := ask(away, "x"); err == nil || strings.HasPrefix(err.Error(), "refused: ") {
		t.Errorf("a database that is away: %v", err)
	}
}

// ready waits until a database answers.
func ready(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(errors.Join(ctx.Err(), err))
		}
	}
}

func TestSQLite(t *testing.T) {
	check(t, Options{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "alias.db")}, func(int) string { return "?" })
}

// missing skips a test whose program is absent, except in CI.
func missing(t *testing.T, debian string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("needs the Debian package " + debian)
	}
	t.Skip("needs the Debian package " + debian)
}

// own makes a directory that belongs to a user, as whom the database runs.
func own(t *testing.T, name string) (dir string, as *syscall.SysProcAttr) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sqldb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return dir, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// run runs a command to its end, serve until the test ends.
func run(t *testing.T, as *syscall.SysProcAttr, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = as, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func serve(t *testing.T, as *syscall.SysProcAttr, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = as, dir
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
}

func TestPostgreSQL(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		missing(t, "postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, as := own(t, "postgres")
	data := filepath.Join(dir, "data")
	run(t, as, dir, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "asker", "-E", "UTF8", "--no-sync", "--no-instructions")
	sockets := filepath.Join(dir, "sock")
	run(t, as, dir, "mkdir", sockets)
	serve(t, as, dir, filepath.Join(bin, "postgres"), "-D", data, "-k", sockets, "-c", "listen_addresses=", "-c", "fsync=off")
	check(t, Options{Driver: "postgres", DSN: "host=" + sockets + " user=asker dbname=postgres"}, func(n int) string { return "$" + strconv.Itoa(n) })
}

func TestMariaDB(t *testing.T) {
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		server = "/usr/sbin/mariadbd"
	}
	if _, err := os.Stat(server); err != nil {
		missing(t, "mariadb-server")
	}
	dir, as := own(t, "mysql")
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "sock")
	run(t, as, dir, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	serve(t, as, dir, server, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--character-set-server=utf8mb4")
	check(t, Options{Driver: "mysql", DSN: "root@unix(" + socket + ")/mysql"}, func(int) string { return "?" })
}

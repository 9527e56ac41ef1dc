package config

import (
	"time"

	"quorumta/internal/config/egress"
	"quorumta/internal/config/lookups"
	"quorumta/internal/config/value"
	"quorumta/internal/policy"
)

// File is a node's configuration. Paths in it are absolute after Load.
type File struct {
	// Node is the node's name in Cluster.Members.
	Node string `yaml:"node"`
	// Hostname stands in the banner, in EHLO and Received.
	Hostname string `yaml:"hostname"`
	// Postmaster gets mail for <postmaster>.
	Postmaster Address `yaml:"postmaster"`
	// Data is the data directory.
	Data    string  `yaml:"data"`
	Cluster Cluster `yaml:"cluster"`
	Admin   Admin   `yaml:"admin"`
	// Nets and Lists are named for conditions and listeners.
	Nets  map[string][]Prefix `yaml:"nets"`
	Lists map[string][]string `yaml:"lists"`
	// TLS is the certificate of the listeners.
	TLS          Pair          `yaml:"tls"`
	Certificates []Certificate `yaml:"certificates"`
	Listeners    []Listener    `yaml:"listeners"`
	Limits       Limits        `yaml:"limits"`
	Policy       Policy        `yaml:"policy"`
	// Priorities say how urgent messages are.
	Priorities []value.Priority `yaml:"priorities"`
	// Lookups are questions to directories outside.
	Lookups []lookups.Lookup `yaml:"lookups"`
	// Pools are addresses that mail leaves from.
	Pools []egress.Pool `yaml:"pools"`
	// Transports are beside "smtp", which is there anyway.
	Transports []Transport `yaml:"transports"`
	Routers    []Router    `yaml:"routers"`
	// Sites say what those may be given to which routers lead.
	Sites []Site  `yaml:"sites"`
	Retry []Retry `yaml:"retry"`
	// RetryLimits bound what Retry says.
	RetryLimits RetryLimits `yaml:"retry_limits"`
	DSN         DSN         `yaml:"dsn"`
	// Freeze is about messages that the relay holds itself.
	Freeze Freeze `yaml:"freeze"`
	// Rewrites are rules for addresses, in the envelope and the header.
	Rewrites []Rewrite `yaml:"rewrites"`
	DKIM     []DKIM    `yaml:"dkim"`
	ARC      []ARC     `yaml:"arc"`
	// SRS and BATV are nil where reverse-paths stay as they are.
	SRS        *SRS       `yaml:"srs"`
	BATV       *BATV      `yaml:"batv"`
	Keep       Keep       `yaml:"keep"`
	DNS        DNS        `yaml:"dns"`
	TLSReports TLSReports `yaml:"tls_reports"`
	Log        Log        `yaml:"log"`
	// SubmitWait is how long an unknown outcome is asked after.
	SubmitWait Duration `yaml:"submit_wait"`
	// DrainGrace is how long /readyz says no before the listeners close.
	DrainGrace Duration `yaml:"drain_grace"`
	// InDoubt is retry or hold: what is done with a recipient who may have the
	// message already.
	InDoubt string `yaml:"in_doubt"`

	path string
	env  *policy.Env
}

// Path is the file that was read.
func (f *File) Path() string { return f.path }

// Env are the nets and lists, for compiling conditions.
func (f *File) Env() *policy.Env { return f.env }

// Cluster is the node's place among the others.
type Cluster struct {
	Listen string `yaml:"listen"`
	// Members are name and address of nodes, this one among them. The first
	// start founds the cluster with them; later they are where the others are
	// found, and the cluster knows its members itself.
	Members map[string]string `yaml:"members"`
	TLS     Triple            `yaml:"tls"`
	// Shards of a new cluster; 0 means one per member.
	Shards int `yaml:"shards"`
	// Replicas of a shard of a new cluster, where there are members enough.
	Replicas int `yaml:"replicas"`
	// LogKeep is how much log a shard keeps for replicas that were away.
	LogKeep Size `yaml:"log_keep"`
	// Heartbeat is raised where a round trip takes more than 20 ms.
	Heartbeat Duration `yaml:"heartbeat"`
}

// Triple is a certificate with its key and the CA of its peers.
type Triple struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// CAKey lets this node sign the certificates of nodes that join; "" means
	// that it does not.
	CAKey string `yaml:"ca_key"`
}

// Small sections.
type (
	Pair          = value.Pair
	Admin         = value.Admin
	Keep          = value.Keep
	Log           = value.Log
	Listener      = value.Listener
	FutureRelease = value.FutureRelease
	Limits        = value.Limits
)

// Policy holds the rules of each stage.
type Policy struct {
	RCPT []Rule `yaml:"rcpt"`
}

// Rule is one row of a stage: the first whose condition holds decides.
type Rule struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Do is accept, reject or defer.
	Do string `yaml:"do"`
	// Reply is what the client is told: "550 5.7.1 text"; "" for the
	// verdict's own.
	Reply Reply `yaml:"reply"`
}

// The values that are written as one text.
type (
	// Duration is written as 90s, 15m, 4h or 7d.
	Duration = value.Duration
	// Size is written as 512, 50KB, 50MB or 5GB, in powers of 1000.
	Size = value.Size
	// Prefix is a network or a single address.
	Prefix = value.Prefix
)

// Hosts are groups of hosts in the order they are tried: a text in the list is
// a group of one, a list in the list is a group of equal preference.
type Hosts [][]string

// SetGroups is how they are read.
func (h *Hosts) SetGroups(groups [][]string) { *h = groups }

// What stands in nodes' own part of a file and need not be said.
const (
	DefaultReplicas = 3
	DefaultLogKeep  = Size(1_000_000_000)
)

// defaults are what a file need not say.
func defaults() *File {
	return &File{
		Data:        "/var/lib/quorumta",
		Cluster:     Cluster{Replicas: DefaultReplicas, LogKeep: DefaultLogKeep},
		Admin:       Admin{Socket: "/run/quorumta/admin.sock"},
		Limits:      Limits{Message: 50_000_000, Recipients: 1000, Connections: 2000, PerClient: 50, Received: 50},
		Retry:       defaultRetry(),
		RetryLimits: defaultRetryLimits(),
		DSN:         DSN{WarnAfter: []Duration{Duration(4 * time.Hour)}, Return: "headers", MaxBody: 50_000, DoubleBounce: "postmaster"},
		Freeze:      Freeze{IgnoreBounceErrorsAfter: Duration(70 * 24 * time.Hour)},
		Keep:        Keep{History: Duration(7 * 24 * time.Hour), FreeDisk: 5_000_000_000},
		Log:         Log{Format: "json", Level: "info"},
		SubmitWait:  Duration(30 * time.Second),
		DrainGrace:  Duration(10 * time.Second),
		InDoubt:     "retry",
	}
}

package setup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quorumta/cmd/quorumta/durable"
)

// OwnerFile holds, in a data directory, the SHA-256 of the certificate of the
// CA of the cluster that the data is of. A node's name and its certificate do
// not tell a disk that was taken from another cluster.
const OwnerFile = "ca.sha256"

// CheckOwner fails if the data directory is known to be of a cluster with
// another CA.
func CheckOwner(data string, ca [32]byte) error {
	path := filepath.Join(data, OwnerFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read whose data it is: %w", err)
	}
	if strings.TrimSpace(string(text)) == hex.EncodeToString(ca[:]) {
		return nil
	}
	return fmt.Errorf("%s is of a cluster with another CA than cluster.tls.ca: mount this node's own disk, or move the data away and let the node join (quorumta cluster join). "+
		"If the CA was exchanged on purpose, remove %s", data, path)
}

// KeepOwner notes whose data it is, once.
func KeepOwner(data string, ca [32]byte) error {
	path := filepath.Join(data, OwnerFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := durable.Replace(path, []byte(hex.EncodeToString(ca[:])+"\n")); err != nil {
		return fmt.Errorf("note whose data it is: %w", err)
	}
	return nil
}

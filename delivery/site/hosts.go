package site

import "quorumta/delivery/route"

// Hosts are those of the target that the site was last asked for with.
func (s *Site) Hosts() []route.Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target.Hosts
}

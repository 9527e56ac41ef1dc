// Package node makes the rooms of one configuration into one running node and
// ends them in the order that loses nothing and refuses nothing.
package node

package api

// Backend is what answers are made of.
type Backend struct{}

const maxTaps = 8

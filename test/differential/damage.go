package main

func (t *trial) damage(c situation) {}

# The old names, for the demo stack `techmage` (compose/techmage), whatever else runs. `make help` lists them.
#
#   make db-backup ARGS=--prod
#   make db-migrate-status ENVCTL_STACK=shop      another stack
#
# `envctl init --makefile` writes the included file for a project of yours.

# The installed binary, else the one that cargo or scripts/demo has built here.
ENVCTL ?= $(firstword $(shell command -v envctl) $(wildcard target/release/envctl target/demo/envctl target/debug/envctl) envctl)
ENVCTL_STACK ?= techmage
export ENVCTL_STACK

include src/commands/init.mk

.PHONY: help
help: envctl-help
.DEFAULT_GOAL := help

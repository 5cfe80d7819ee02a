# The old names, each one line that calls envctl. Written by `envctl init --makefile`.
# Старые имена команд; каждая - одна строка для envctl. `make help` покажет их все.
#
#   make db-migrate-create MIGRATION_NAME=add_user_table
#   make db-restore BACKUP_FILE=backup_20241201_143022.sql
#   make db-backup ARGS='--prod'            options for envctl / параметры для envctl
#
# Beside a Makefile of your own: `envctl init --makefile -o envctl.mk`, and in it `include envctl.mk`.

ENVCTL ?= envctl
ARGS ?=

# Values reach envctl through the environment, untouched: neither make nor the shell reads a name as a command.
override MIGRATION_NAME := $(value MIGRATION_NAME)
override BACKUP_FILE := $(value BACKUP_FILE)
export MIGRATION_NAME BACKUP_FILE

envctl_need = $(if $(value $1),,$(error $1 is missing / не указано: make $@ $1=$2))
envctl_mk := $(lastword $(MAKEFILE_LIST))
envctl_goal := $(.DEFAULT_GOAL)

.PHONY: envctl-help db-migrate db-migrate-dev db-migrate-prod db-migrate-create db-migrate-status \
	db-migrate-reset db-generate db-push db-pull db-studio db-studio-prod db-seed db-backup db-restore \
	dev-shell dev-shell-prod dev-shell-db

db-migrate: ## apply pending migrations | применить миграции, окружение определяется само
	$(ENVCTL) migrate $(ARGS)

db-migrate-dev: ## the same in development | применить миграции в разработке
	$(ENVCTL) migrate --dev $(ARGS)

db-migrate-prod: ## the same in production, asks first | применить миграции в продакшене, с вопросом
	$(ENVCTL) migrate --prod $(ARGS)

db-migrate-create: ## MIGRATION_NAME=… after an edit of the schema | создать миграцию после правки схемы
	$(call envctl_need,MIGRATION_NAME,add_user_table)$(ENVCTL) migrate create $(ARGS) -- "$$MIGRATION_NAME"

db-migrate-status: ## which migrations are applied | какие миграции применены
	$(ENVCTL) migrate status $(ARGS)

db-migrate-reset: ## drop the database, apply all: LOSES ALL DATA | пересоздать базу: УДАЛЯЕТ ВСЕ ДАННЫЕ
	$(ENVCTL) migrate reset $(ARGS)

db-generate: ## generate the Prisma client | сгенерировать клиент Prisma
	$(ENVCTL) generate $(ARGS)

db-push: ## push the schema without a migration | применить схему без миграции (прототипы)
	$(ENVCTL) push $(ARGS)

db-pull: ## read the schema out of the database | получить схему из базы
	$(ENVCTL) pull $(ARGS)

db-studio: ## Prisma Studio on development | Prisma Studio для разработки
	$(ENVCTL) studio $(ARGS)

db-studio-prod: ## Prisma Studio on production, asks first | Prisma Studio для продакшена, с вопросом
	$(ENVCTL) studio --prod $(ARGS)

db-seed: ## fill the database with test data | заполнить базу тестовыми данными
	$(ENVCTL) seed $(ARGS)

db-backup: ## make a proven backup | сделать проверенную резервную копию
	$(ENVCTL) backup $(ARGS)

db-restore: ## BACKUP_FILE=… or latest; the old data is kept | восстановить базу; старая сохраняется
	$(call envctl_need,BACKUP_FILE,backup_20241201_143022.sql)$(ENVCTL) restore $(ARGS) -- "$$BACKUP_FILE"

dev-shell: ## shell in the backend, development | оболочка в контейнере бэкенда
	$(ENVCTL) shell backend $(ARGS)

dev-shell-prod: ## shell in the backend, production | оболочка в контейнере бэкенда, продакшен
	$(ENVCTL) shell backend --prod $(ARGS)

dev-shell-db: ## psql in the database | подключиться к PostgreSQL
	$(ENVCTL) psql $(ARGS)

envctl-help:
	@awk -F ' *[|] *|:[^#]*## *' '/^[a-z-]+:[^#]*## /{printf "  %-18s  %s\n  %18s  %s\n", $$1, $$2, "", $$3}' '$(envctl_mk)'

# As a file of its own `make` alone is help; included, the including file keeps its own goal and its own `help`.
ifeq ($(words $(MAKEFILE_LIST)),1)
.PHONY: help
help: envctl-help
.DEFAULT_GOAL := help
else
.DEFAULT_GOAL := $(envctl_goal)
endif

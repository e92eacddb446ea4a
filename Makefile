# Thin names for tools/workbook.py, which also works where there is no make.
PYTHON ?= python3
PORT ?= 8888
CHAPTER ?=
SEEDS ?=
LAB_ARGS ?=
RUN = $(PYTHON) tools/workbook.py

.PHONY: help lab copies fresh progress test test-elsewhere test-ci test-all bench evidence pretrained lite classroom weekly wheel student solutions slides site pdf notebooks lint lock docs clean setup

ifeq ($(firstword $(MAKECMDGOALS)),help) # in `make help lab` the words after it are no goals
help $(wordlist 2,99,$(MAKECMDGOALS)):
	@test $@ != help || $(RUN) help $(wordlist 2,99,$(MAKECMDGOALS))
else
help setup copies progress test test-elsewhere test-ci test-all bench pretrained lite classroom weekly wheel student solutions slides site pdf notebooks lint lock docs clean:
	@$(RUN) $@

lab:
	@$(RUN) lab $(PORT) $(LAB_ARGS)

fresh:
	@$(RUN) fresh $(CHAPTER)

evidence:
	@$(RUN) evidence $(SEEDS)
endif

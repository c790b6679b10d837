"""Texts of click that a command shows; click looks them up in the catalogue."""

from shared.i18n.catalogue import mark, translate_plural
from shared.i18n.languages import Language

TEXTS = (
    mark("Usage:"),
    mark("Options"),
    mark("Commands"),
    mark("Show this message and exit."),
    mark("Show the version and exit."),
    mark("Confirm the action without prompting."),
    mark("Aborted!"),
    mark("Error: {message}"),
    mark("Error: invalid input"),
    mark("Try '{command} {option}' for help."),
    mark("Invalid value: {message}"),
    mark("Invalid value for {param_hint}: {message}"),
    mark("Missing command."),
    mark("Missing argument"),
    mark("Missing option"),
    mark("Missing parameter"),
    mark("Missing {param_type}"),
    mark("Missing parameter: {param_name}"),
    mark("Positional arguments"),
    mark("(dynamic)"),
    mark("Do you want to continue?"),
    mark("Repeat for confirmation"),
    mark("Error: The two entered values do not match."),
    mark("Could not open file {filename!r}: {message}"),
    mark("unknown error"),
    mark("Argument {name!r} takes {nargs} values."),
    mark("{value!r} is not a valid boolean. Recognized values: {states}"),
    mark("{name} {filename!r} is not executable."),
    mark("Shell completion is not supported for Bash versions older than 4.4."),
    mark("Couldn't detect Bash version, shell completion is not supported."),
    mark("Choose from:\n\t{choices}"),
    mark("No such option {name!r}."),
    mark("No such command {name!r}."),
    mark("Option {name!r} does not take a value."),
    mark("default: {default}"),
    mark("env var: {var}"),
    mark("required"),
    mark("{value!r} is not a valid {number_type}."),
    mark("{value} is not in the range {range}."),
    mark("{name} {filename!r} does not exist."),
    mark("{name} {filename!r} is a directory."),
    mark("{name} {filename!r} is a file."),
    mark("{name} {filename!r} is not readable."),
    mark("{name} {filename!r} is not writable."),
    mark("File"),
    mark("Directory"),
    mark("Path"),
    mark("file"),
    mark("directory"),
    mark("path"),
)


def plural_texts(number: int, language: Language) -> tuple[str, ...]:
    """The texts of click that depend on a number."""
    return (
        translate_plural(
            "Got unexpected extra argument ({args})",
            "Got unexpected extra arguments ({args})",
            number,
            language,
        ),
        translate_plural(
            "{value!r} is not {choice}.", "{value!r} is not one of {choices}.", number, language
        ),
        translate_plural(
            "{value!r} does not match the format {format}.",
            "{value!r} does not match the formats {formats}.",
            number,
            language,
        ),
        translate_plural(
            "Takes {nargs} values but 1 was given.",
            "Takes {nargs} values but {len} were given.",
            number,
            language,
        ),
        translate_plural(
            "Did you mean {possibility}?",
            "(Did you mean one of: {possibilities}?)",
            number,
            language,
        ),
        translate_plural(
            "Option {name!r} requires an argument.",
            "Option {name!r} requires {nargs} arguments.",
            number,
            language,
        ),
    )

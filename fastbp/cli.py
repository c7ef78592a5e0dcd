"""The command line: `fastbp train`, `fastbp predict`, `fastbp info`.

A command reads its files with `tables`, does what a few lines of Python would do with `Network`, and prints.
Whatever a user can get wrong ends in one line on stderr and exit code 2.
"""
import argparse
import math
import os
import sys
from contextlib import nullcontext
from pathlib import Path

DEFAULT_VALIDATION = 0.2

DATA_HELP = """\
DATA is one of
  file.npz       X and y, or x_train and y_train; x_test and y_test if there is a test set
  X.npy y.npy    two files; X is read from disk as it is needed
  file.csv       commas, with or without a header; --target is the column of y: its name, or its index
                 from 0, or from -1 for the last

Samples of more than one dimension are flattened. uint8 features are divided by 255, all others used as
they are. Whole numbers and strings in y are labels to tell apart, other numbers are values to fit.
"""

TRAIN_HELP = """
With no DATA, train on 1,797 handwritten digits that come with fastbp: 8 x 8 pixels of 0 to 16, divided by 16.

What is held out to score the network is the file's x_test and y_test, or else a random part of the samples
(--validation). --validation 0 holds nothing out, and trains on an X.npy of floats without a copy of it.
"""

PREDICT_HELP = """
The x_test and y_test of an .npz are used, or else its X and y. y may be missing.
"""


def main(argv=None):
    """Run a command; return 0, or 2 for a user's error, 130 for Ctrl-C, 141 for a broken pipe."""
    try:
        args = _build_parser().parse_args(argv)
        args.run(args)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails to flush at exit
        return 141
    except KeyboardInterrupt:
        print("fastbp: interrupted", file=sys.stderr)
        return 130
    except (ValueError, ArithmeticError, OSError, MemoryError) as error:
        print(f"fastbp: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    prefix = "out of memory: " if isinstance(error, MemoryError) else ""
    return prefix + (" ".join(str(error).split()) or type(error).__name__)


# Arguments

class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def _whole(minimum):
    def parse(text):
        if not text.strip().isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, got {text!r}")
        return int(text)
    return parse


def _number(accepts, words):
    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"must be a number {words}, got {text!r}")
        return value
    return parse


def _widths(text):
    widths = text.split(",")
    if not all(width.strip().isdecimal() and int(width) > 0 for width in widths):
        raise argparse.ArgumentTypeError("must be whole numbers above 0, as in 256 128 or 256,128, "
                                         f"got {text!r} (DATA goes before --layers)")
    return [int(width) for width in widths]


def _build_parser():
    parser = _Parser(prog="fastbp", description="Train dense neural networks on CPUs.", allow_abbrev=False)
    parser.set_defaults(run=lambda args: parser.print_help())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, run, add_arguments, summary, epilog in (
            ("train", _train, _add_train_arguments,
             "Train a network, and score it on samples that it has not seen.", DATA_HELP + TRAIN_HELP),
            ("predict", _predict, _add_predict_arguments,
             "Predict with a trained network, and score it where DATA has y.", DATA_HELP + PREDICT_HELP),
            ("info", _info, _add_info_arguments,
             "Show versions, instruction sets and threads, or what is in a model file.", None)):
        command = commands.add_parser(name, help=summary, description=summary, epilog=epilog,
                                      allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.set_defaults(run=run)
        add_arguments(command.add_argument)
    return parser


def _add_train_arguments(add):
    from fastbp.activations import ACTIVATIONS
    from fastbp.losses import LOSSES
    fraction = _number(lambda x: 0 <= x < 1, "from 0 to below 1")
    add("data", metavar="DATA", nargs="*", help="the samples, see below (default: the embedded digits)")
    add("--target", metavar="COL", help="the column of a .csv that holds y: a name in its header or an index")
    add("--layers", metavar="N", nargs="*", type=_widths, default=[[256, 128]],
        help="widths of the hidden layers, as 256 128 or 256,128; none: a linear model (default: 256 128)")
    add("--activation", metavar="NAME", choices=list(ACTIVATIONS), default="relu",
        help=f"of the hidden layers: {', '.join(ACTIVATIONS)} (default: %(default)s)")
    add("--loss", metavar="NAME", choices=list(LOSSES),
        help=f"{', '.join(LOSSES)} (default: softmax_cross_entropy for labels, squared_error for values)")
    add("--epochs", metavar="N", type=_whole(1), default=30, help="passes over DATA (default: %(default)s)")
    add("--batch-size", metavar="N", type=_whole(1), default=32, help="samples a step (default: %(default)s)")
    add("--learning-rate", metavar="X", type=_number(lambda x: 0 < x < math.inf, "above 0"), default=0.03,
        help="of SGD (default: %(default)s)")
    add("--momentum", metavar="X", type=fraction, default=0.9, help="of SGD (default: %(default)s)")
    add("--dtype", metavar="NAME", choices=["float32", "float64"], default="float32",
        help="float32 or float64 (default: %(default)s)")
    add("--seed", metavar="N", type=_whole(0), default=0,
        help="of the parameters, the order of the samples and what is held out (default: %(default)s)")
    add("--threads", metavar="N", type=_whole(1), help="at most so many (default: what the machine grants)")
    add("--validation", metavar="FRACTION", type=fraction,
        help=f"the part of the samples to hold out (default: {DEFAULT_VALIDATION})")
    add("--save", metavar="PATH", help="write the network to this file, in the safetensors format")
    add("--quiet", action="store_true", help="print the score alone")
    add("--json", action="store_true", help="print one JSON object alone")


def _add_predict_arguments(add):
    add("model", metavar="MODEL", help="a file that fastbp train --save wrote")
    add("data", metavar="DATA", nargs="+", help="the samples, see below")
    add("--target", metavar="COL", help="the column of a .csv that holds y: a name in its header or an index")
    add("--output", metavar="PATH", help="write the predictions to a .npy, .csv or .txt file")
    add("--quiet", action="store_true", help="print the score alone, or the predictions if there is no y")
    add("--json", action="store_true", help="print one JSON object alone")


def _add_info_arguments(add):
    add("model", metavar="MODEL", nargs="?", help="a file that fastbp train --save wrote")


def _check_directory(option, path):
    """Say before the work that its result will have no place to go."""
    if path is not None and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
        raise ValueError(f"{option} {path}: it must be a file in a directory that exists")


# train

def _train(args):
    import fastbp
    from fastbp import _prepare, _report
    _check_directory("--save", args.save)
    name, loss, data = _training_data(args)
    net = fastbp.Network([data.X.shape[1], *sum(args.layers, []), _prepare.n_outputs(data.y, loss)],
                         activation=args.activation, loss=loss, dtype=args.dtype, seed=args.seed)
    test = None if data.X_test is None else (data.X_test, data.y_test)
    talks = not (args.quiet or args.json)
    if talks:
        _report.print_rows(_report.train_header(args, name, net, data))
    rows = _report.epoch_rows(args.epochs, net.metric_name, test is not None) if talks else nullcontext()
    with rows as show_epoch:
        optimizer = fastbp.SGD(learning_rate=args.learning_rate, momentum=args.momentum)
        history = net.fit(data.X, data.y, epochs=args.epochs, batch_size=args.batch_size, optimizer=optimizer,
                          validation_data=test, callbacks=[show_epoch] if talks else [],
                          n_threads=args.threads)
    if args.save:
        net.save(args.save)
    score = _score(net, *(test or (data.X, data.y)), on="held-out" if test else "training")
    if args.json:
        _report.print_json(_report.train_result(args, name, net, data, history, score))
    else:
        _report.print_rows([*(_report.train_footer(args, history) if talks else []), score.row()])


def _training_data(args):
    """The name of the data, the loss, and the Table that `fit` takes."""
    from fastbp import _prepare, tables
    if args.data:
        name, data = " ".join(args.data), tables.open_table(args.data, args.target)
    elif args.target is None:
        name, data = "UCI handwritten digits", _prepare.digits(args.dtype)
    else:
        raise ValueError("--target names a column of DATA, and there is no DATA")
    data = data._replace(y=_prepare.as_target(data.y))
    loss = args.loss or _prepare.natural_loss(data.y)
    _prepare.check_target(data.y, loss)
    if data.X_test is None:
        fraction = DEFAULT_VALIDATION if args.validation is None else args.validation
        data = _prepare.hold_out(data, fraction, args.seed)
    elif args.validation is not None:
        raise ValueError(f"--validation is for data without a test set, and {name} has x_test and y_test")
    data = data._replace(X=_prepare.as_features(data.X, args.dtype))
    if data.X_test is not None:
        data = data._replace(X_test=_prepare.as_features(data.X_test, args.dtype),
                             y_test=_prepare.as_target(data.y_test))
        _prepare.check_labels(data.y, data.y_test, loss)
    return name, loss, data


def _score(net, X, y, on):
    from fastbp._report import Score
    value = net.evaluate(X, y)[1]
    n_correct = None if net.classes_ is None else round(value * len(X))
    return Score(on, net.metric_name, value, len(X), n_correct)


# predict and info

def _predict(args):
    import fastbp
    from fastbp import _prepare, _report, tables
    _check_directory("--output", args.output)
    if args.output and not args.output.endswith(_report.OUTPUT_SUFFIXES):
        raise ValueError(f"--output {args.output}: its name must end in {', '.join(_report.OUTPUT_SUFFIXES)}")
    net, name = fastbp.load(args.model), " ".join(args.data)
    X, y, is_test_set = tables.open_samples(args.data, args.target)
    X = _prepare.as_features(X, net.dtype)
    if X.shape[1] != net.sizes[0]:
        raise ValueError(f"{name} has {X.shape[1]} features a sample, and {args.model} takes {net.sizes[0]}")
    score = None
    if y is not None:
        y = _prepare.as_target(y)
        _prepare.check_target(y, net.loss)
        score = _score(net, X, y, on="held-out" if is_test_set else "")
    if args.output:
        _report.save_predictions(args.output, net.predict(X))
    is_answer = score is None and args.output is None
    _show_predictions(args, name, X, score, net.predict(X) if is_answer else None)


def _show_predictions(args, name, X, score, predictions):
    """Print the score, or the predictions where there is neither a score nor a file of them."""
    from fastbp import _report
    if args.json:
        _report.print_json({"model": args.model, "data": name, "n_samples": len(X), "output": args.output,
                            "score": None if score is None else score._asdict(),
                            "predictions": None if predictions is None else predictions.tolist()})
    elif predictions is not None:
        _report.print_predictions(predictions)
    else:
        saved = [("saved", args.output)] if args.output and not args.quiet else []
        _report.print_rows(saved + ([] if score is None else [score.row()]))


def _info(args):
    import fastbp
    from fastbp import _report
    if args.model is None:
        fastbp.show_config()
    else:
        _report.print_rows(_report.model_rows(args.model, fastbp.load(args.model)))

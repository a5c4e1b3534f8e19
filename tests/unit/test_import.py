import subprocess
import sys

HEAVY = ("torch", "transformers", "mlflow", "ray", "kfp", "sklearn", "scipy", "matplotlib", "peft", "pandas")


def modules_after(statement):
    script = f"{statement}; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_acclimate_loads_nothing_heavy():
    assert modules_after("import acclimate") & set(HEAVY) == set()


def test_checking_for_a_finished_stage_loads_nothing_heavy():
    assert modules_after("import acclimate.steps, acclimate.cli, acclimate.config_file") & set(HEAVY) == set()

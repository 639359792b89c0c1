from configparser import ConfigParser
from setuptools import setup

cfg = ConfigParser(delimiters=["="])
cfg.read("settings.ini", encoding="utf-8")
cfg = cfg["DEFAULT"]
setup(
    description=cfg["description"],
    author=cfg["author"],
    license=cfg["license"],
    install_requires=cfg["requirements"].split(),
    extras_require={k: cfg[f"{k}_requirements"].split() for k in ("fd", "site", "dev")},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)

"""What to cite: the works behind a merge, as BibTeX."""

from __future__ import annotations

VARIATIONAL = """@article{monzon2024weight,
  title   = {How to Weight Multitask Finetuning? Fast Previews via Bayesian Model-Merging},
  author  = {Monz{\\'o}n Maldonado, Hugo and M{\\"o}llenhoff, Thomas and Daheim, Nico and Gurevych, Iryna and Khan, Mohammad Emtiyaz},
  journal = {arXiv preprint arXiv:2412.08147},
  year    = {2024}
}"""  # noqa: E501

MAP = """@inproceedings{li2025map,
  title     = {{MAP}: Low-compute Model Merging with Amortized {Pareto} Fronts via Quadratic Approximation},
  author    = {Li, Lu and Zhang, Tianyu and Bu, Zhiqi and Wang, Suyuchen and He, Huan and Fu, Jie and Wu, Yonghui and Bian, Jiang and Chen, Yong and Bengio, Yoshua},
  booktitle = {International Conference on Learning Representations},
  note      = {arXiv:2406.07529},
  year      = {2025}
}"""  # noqa: E501

FISHER = """@inproceedings{matena2022merging,
  title     = {Merging Models with {Fisher}-Weighted Averaging},
  author    = {Matena, Michael S. and Raffel, Colin},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2022}
}"""

SOUPS = """@inproceedings{wortsman2022model,
  title     = {Model Soups: Averaging Weights of Multiple Fine-tuned Models Improves Accuracy without Increasing Inference Time},
  author    = {Wortsman, Mitchell and Ilharco, Gabriel and Gadre, Samir Yitzhak and Roelofs, Rebecca and Gontijo-Lopes, Raphael and Morcos, Ari S. and Namkoong, Hongseok and Farhadi, Ali and Carmon, Yair and Kornblith, Simon and Schmidt, Ludwig},
  booktitle = {International Conference on Machine Learning},
  year      = {2022}
}"""  # noqa: E501

TASK_ARITHMETIC = """@inproceedings{ilharco2023editing,
  title     = {Editing Models with Task Arithmetic},
  author    = {Ilharco, Gabriel and Ribeiro, Marco Tulio and Wortsman, Mitchell and Gururangan, Suchin and Schmidt, Ludwig and Hajishirzi, Hannaneh and Farhadi, Ali},
  booktitle = {International Conference on Learning Representations},
  year      = {2023}
}"""  # noqa: E501

TIES = """@inproceedings{yadav2023ties,
  title     = {{TIES}-Merging: Resolving Interference When Merging Models},
  author    = {Yadav, Prateek and Tam, Derek and Choshen, Leshem and Raffel, Colin and Bansal, Mohit},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2023}
}"""

DARE = """@inproceedings{yu2024language,
  title     = {Language Models are Super {Mario}: Absorbing Abilities from Homologous Models as a Free Lunch},
  author    = {Yu, Le and Yu, Bowen and Yu, Haiyang and Huang, Fei and Li, Yongbin},
  booktitle = {International Conference on Machine Learning},
  year      = {2024}
}"""

DELLA = """@article{deep2024della,
  title   = {{DELLA}-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling},
  author  = {Deep, Pala Tej and Bhardwaj, Rishabh and Poria, Soujanya},
  journal = {arXiv preprint arXiv:2406.11617},
  year    = {2024}
}"""

BREADCRUMBS = """@inproceedings{davari2024model,
  title     = {Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks},
  author    = {Davari, MohammadReza and Belilovsky, Eugene},
  booktitle = {European Conference on Computer Vision},
  year      = {2024}
}"""

SLERP = """@inproceedings{shoemake1985animating,
  title     = {Animating Rotation with Quaternion Curves},
  author    = {Shoemake, Ken},
  booktitle = {SIGGRAPH},
  year      = {1985}
}"""

IVON = """@inproceedings{shen2024variational,
  title     = {Variational Learning is Effective for Large Deep Networks},
  author    = {Shen, Yuesong and Daheim, Nico and Cong, Bai and Nickl, Peter and Marconi, Gian Maria and Bazan, Clement and Yokota, Rio and Gurevych, Iryna and Cremers, Daniel and Khan, Mohammad Emtiyaz and M{\\"o}llenhoff, Thomas},
  booktitle = {International Conference on Machine Learning},
  year      = {2024}
}"""  # noqa: E501

LORA = """@inproceedings{hu2022lora,
  title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations},
  year      = {2022}
}"""  # noqa: E501

RULES: dict[str, tuple[str, ...]] = {
    "posterior": (VARIATIONAL,),
    "mixture": (VARIATIONAL,),
    "fisher": (FISHER,),
    "averaging": (SOUPS,),
    "task_arithmetic": (TASK_ARITHMETIC,),
    "ties": (TASK_ARITHMETIC, TIES),
    "dare": (TASK_ARITHMETIC, DARE),
    "della": (TASK_ARITHMETIC, DELLA),
    "breadcrumbs": (TASK_ARITHMETIC, BREADCRUMBS),
    "slerp": (SLERP,),
}

MAP_FRONTS = ("map", "bayesian-map", "nested-map")


def citations_of(
    rule: str,
    *,
    family: str = "",
    front: str = "",
    domain: str = "weights",
    elect_signs: bool = False,
    ivon: bool = False,
    adapters: bool = False,
) -> tuple[str, ...]:
    """The BibTeX entries of what a merge really used, each once.

    Args:
        rule: the name of the merge rule.
        family: of the posteriors, where the rule merges posteriors: of isotropic ones it is an average, of diagonal
            ones Fisher-weighted, and a subspace of task vectors is where the quadratic of MAP lives.
        front: the name of the front's method.
        domain: of the front; coefficients scale task vectors.
        elect_signs: whether DARE, DELLA or breadcrumbs elect signs, as TIES does.
        ivon: whether a posterior is that of IVON.
        adapters: whether finetunes are LoRA adapters.

    >>> [entry.split("{")[1].split(",")[0] for entry in citations_of("dare", elect_signs=True)]
    ['ilharco2023editing', 'yu2024language', 'yadav2023ties']
    """
    entries = list(RULES.get(rule, ()))
    if rule == "posterior":
        entries += {"isotropic": [SOUPS], "diagonal": [FISHER], "subspace": [MAP]}.get(family, [])
    if elect_signs and rule != "ties":
        entries.append(TIES)
    if front in MAP_FRONTS:
        entries.append(MAP)
    if domain != "weights":
        entries.append(TASK_ARITHMETIC)
    if ivon:
        entries.append(IVON)
    if adapters:
        entries.append(LORA)
    return tuple(dict.fromkeys(entries))

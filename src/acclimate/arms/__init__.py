"""How the arms of each task are trained, judged and stored; stage ``finetune`` chooses among them."""
